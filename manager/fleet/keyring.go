package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// restEvery is how often agents are tried again that found no room for their counter.
const restEvery = 10 * time.Second

// keyring takes up the keys.
type keyring struct {
	f        *Fleet
	counters counters

	mu      sync.Mutex // held while keys are taken up
	taken   *keys.Set  // that were taken up last
	lacking bool       // some of them could not be
}

// run takes up keys as they change, until ctx ends.
func (r *keyring) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.f.cfg.Store.Watch(ctx, func(*keys.Set) { r.takeUp() }) })
	all.Go(func() { every(ctx, restEvery, r.takeUpRest) })
	all.Go(func() { r.counters.run(ctx) })
	all.Wait()
}

// takeUp takes up the present set of keys. Agents that it must leave out are tried again by takeUpRest.
func (r *keyring) takeUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.f
	set := f.cfg.Store.Load()
	if set == r.taken && !r.lacking {
		return
	}
	old := f.Roster()
	now, gone, err := r.roster(set, old)
	if err != nil {
		f.limited.Error("not all keys are in use yet; tried again every "+restEvery.String(), "err", err)
	}
	r.taken, r.lacking = set, err != nil
	f.roster.Store(now)
	for _, a := range now.byID { // the silence of some counts already
		a.mu.Lock()
		f.watch.look(a)
		a.mu.Unlock()
	}
	if old == nil {
		return
	}
	added, changed := 0, 0
	for id, a := range now.byID {
		switch was := old.byID[id]; {
		case was == nil:
			added++
		case was != a:
			changed++
		}
	}
	for _, a := range gone { // agents of ours are told, under the keys that they had
		if a.conversation.Traits().IsOssecd && a.Present() && a.conversation.Addr().IsValid() {
			a.conversation.Send([]byte(proto.Removed))
		}
	}
	if r.lacking && added+len(gone)+changed == 0 {
		return
	}
	f.log.Info("keys taken up", "keys", f.cfg.Keys, "agents", len(now.byID), "added", added, "removed", len(gone), "changed", changed)
}

// takeUpRest takes up the agents that were left out.
func (r *keyring) takeUpRest() {
	r.mu.Lock()
	lacking := r.lacking
	r.mu.Unlock()
	if lacking {
		r.takeUp()
	}
}

// roster makes the roster of a set of keys. An agent whose key is the same as in old goes on as it was. One for which no received
// counter can be made is left out, and the error says why; all others are in. gone are those that were removed.
func (r *keyring) roster(set *keys.Set, old *Roster) (now *Roster, gone []*Agent, err error) {
	stock := r.counters.stock // few agents are new, as a rule
	if old == nil {
		all := r.counters.allStock() // a directory that has files for few agents is read faster than it is asked for each
		stock = func(id string) proto.Counter { return all[id] }
	}
	without := 0
	now = &Roster{byID: make(map[string]*Agent, len(set.Keys)), byAddr: make(map[netip.Addr]*Agent)}
	for _, k := range set.Keys {
		var was *Agent
		if old != nil {
			was = old.byID[k.ID]
		}
		a := was
		if was == nil || was.Key != k {
			made, e := r.credential(k, stock(k.ID))
			if e != nil {
				if without++; err == nil {
					err = e
				}
				continue
			}
			a = r.agent(made, was, old == nil)
		}
		next, rotating := set.Next(k.ID)
		if e := r.setNext(a, next, rotating); e != nil && err == nil {
			err = e
		}
		if a != was {
			if was != nil && was.Key.Secret != k.Secret && !was.BecomesBy(k) {
				was = nil
			}
			a.conversation = r.f.cfg.Converse(a, was)
		}
		now.byID[k.ID] = a
		if ip, ok := k.Address.Single(); ok {
			now.byAddr[ip] = a
		}
	}
	if old != nil {
		gone = now.keepGone(old)
	}
	if err != nil {
		err = fmt.Errorf("%d agents are left out: %w", without, err)
	}
	return now, gone, err
}

func (r *keyring) credential(k keys.Key, stock proto.Counter) (*Credential, error) {
	slot, err := r.f.cfg.Received.Slot(k.ID, k.Secret, "", stock)
	if err != nil {
		return nil, err
	}
	c := &Credential{Key: k, Cipher: proto.NewCipher(k.CipherKey()), Slot: slot, Before: slot.Highest()}
	if kept := r.f.cfg.KeptBefore; kept != nil {
		c.Before = min(c.Before, kept(slot))
	}
	return c, nil
}

// agent makes an agent in place of was, which may be nil. One whose KEY is the same but name or address is not, and one that has
// become what it was to become by its next key, is there as it was before.
func (r *keyring) agent(c *Credential, was *Agent, atStart bool) *Agent {
	cfg, k, now := &r.f.cfg, c.Key, time.Now()
	a := &Agent{Credential: *c, Source: sink.NewAgent(k.ID, k.Name, k.Address.String()), since: now.Unix()}
	a.Source.Key = c.Slot.Print()
	if labels := labelsOf(cfg.Groups, k.ID, k.Name); labels != nil {
		a.Source.SetLabels(labels)
	}
	same := was != nil && was.Key.Secret == k.Secret
	promoted := was != nil && was.BecomesBy(k)
	switch {
	case same || promoted:
		was.mu.Lock()
		a.presence = was.presence
		was.mu.Unlock()
		a.presence.watched = time.Time{} // that was the other one
		if !same {
			a.Slot.SetConnected(a.presence.state == connected)
			a.Slot.SetInterval(a.presence.interval())
			a.Slot.SetConverses(was.Slot.Converses())
		}
	default:
		if atStart { // later the files are our own
			heardByStock(c.Slot, cfg.HeardElsewhere(k), now)
		}
		a.presence.resume(c.Slot, now)
	}
	return a
}

// setNext gives an agent the next key that is ordered for it, or none.
func (r *keyring) setNext(a *Agent, next keys.Key, rotating bool) error {
	have := a.Next()
	switch {
	case !rotating:
		if have != nil {
			a.next.Store(nil)
		}
		return nil
	case have != nil && have.Key == next:
		return nil
	}
	// The order must not be undone by a power cut once the agent has the key.
	if err := durable.SyncDir(filepath.Dir(keys.NotesPath(r.f.cfg.Keys))); err != nil {
		return err
	}
	c, err := r.credential(next, proto.Counter{})
	if err != nil {
		return err
	}
	a.next.Store(c)
	return nil
}
