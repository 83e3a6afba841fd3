package keys

import (
	"fmt"
	"slices"
	"time"
)

// living is the key of an agent, or why there is none.
func (f *File) living(id string) (Key, error) {
	k, ok := f.set.ByID(id)
	if !ok {
		return k, fmt.Errorf("%w: %q is not in %s; ossecd keygen list shows all", ErrNoAgent, id, f.path)
	}
	return k, nil
}

// Rename gives an agent another name. Name and ID are part of what Blowfish is keyed with, so the agent needs its new line.
func (f *File) Rename(id, name string) (Key, error) {
	return f.change(id, func(k *Key) { k.Name = name })
}

// SetAddress changes from where an agent may send.
func (f *File) SetAddress(id string, address Address) (Key, error) {
	return f.change(id, func(k *Key) { k.Address = address })
}

// change puts another line in place of an agent's.
func (f *File) change(id string, change func(*Key)) (Key, error) {
	old, err := f.living(id)
	if err != nil {
		return old, err
	}
	k := old
	change(&k)
	if _, err := ParseLine(k.Line()); err != nil {
		return old, err
	}
	if k == old {
		return k, nil
	}
	use := f.use()
	if other, has := use.names[k.Name]; has && k.Name != old.Name {
		return old, fmt.Errorf("the name %s %w by agent %s in %s; choose another, or remove that one first", k.Name, errDuplicate, other, f.path)
	}
	if ip, single := k.Address.Single(); single {
		if other, has := use.addrs[ip]; has && other != id {
			return old, fmt.Errorf("the address %s %w by agent %s in %s; agents with a single address are known by it alone: use any or a network",
				ip, errDuplicate, other, f.path)
		}
	}
	note := f.notes.Of(old)
	isIt := func(line string) bool { key, err := ParseLine(trimCR(line)); return err == nil && key == old }
	i := use.lines[id]
	if !isIt(f.lines[i]) { // a faulty line with that ID comes first
		i = slices.IndexFunc(f.lines, isIt)
	}
	if i < 0 { // it cannot be: the set is made of the lines
		return old, fmt.Errorf("%w: %q has no line in %s", ErrNoAgent, id, f.path)
	}
	f.lines[i] = k.Line()
	f.set.Keys[f.set.byID[id]] = k
	if k.Secret != old.Secret {
		f.notes.set(k, note)
	}
	if k.Name != old.Name || k.Address != old.Address {
		f.taken = nil
	}
	f.changed = true
	return k, nil
}

// Note is what is noted of an agent.
func (f *File) Note(k Key) Note { return f.notes.Of(k) }

// SetGroups puts an agent into these groups, and into no others.
func (f *File) SetGroups(id string, groups []string) error {
	return f.note(id, func(n *Note) { n.Groups = groups })
}

// SetToken notes with which token an agent enrolled.
func (f *File) SetToken(id, token string) error {
	return f.note(id, func(n *Note) { n.Token = token })
}

func (f *File) note(id string, change func(*Note)) error {
	k, err := f.living(id)
	if err != nil {
		return err
	}
	n := f.notes.Of(k)
	change(&n)
	f.notes.set(k, n)
	return nil
}

// Rotate orders a new KEY for an agent: from now on it may use either, and as soon as it has used the new one the old one ends
// (Promote). Where one is ordered already it stays, since the agent may have it: ordered is false then.
func (f *File) Rotate(id string, now time.Time) (next Key, ordered bool, err error) {
	k, err := f.living(id)
	if err != nil {
		return k, false, err
	}
	n := f.notes.Of(k)
	if ordered = n.Next == ""; ordered {
		n.Next, n.Ordered = NewSecret(), now.UTC().Truncate(time.Second)
		f.notes.set(k, n)
	}
	k.Secret = n.Next
	return k, ordered, nil
}

// Promote makes the next KEY of an agent the present one. Where that is done already it does nothing.
func (f *File) Promote(next Key) error {
	k, err := f.living(next.ID)
	if err != nil || k.Secret == next.Secret {
		return err
	}
	n := f.notes.Of(k)
	if n.Next != next.Secret {
		return fmt.Errorf("agent %s: the next key was changed meanwhile", next.ID)
	}
	k, err = f.change(next.ID, func(k *Key) { k.Secret = next.Secret })
	if err != nil {
		return err
	}
	f.notes.set(k, Note{Made: n.Ordered, Groups: n.Groups, Token: n.Token})
	return nil
}
