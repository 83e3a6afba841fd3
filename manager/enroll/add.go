package enroll

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"ossecd/keys"
)

// addOne makes the key of an order, or says in o.why why there is none. The error is for what keeps all orders from
// getting keys.
func (c *issuer) addOne(f *keys.File, o *order) error {
	name := o.req.Name
	if keys.CheckName(name) != nil {
		o.why = badName
		return nil
	}
	if ok, err := path.Match(c.cfg.Names, name); c.cfg.Names != "" && (err != nil || !ok) {
		o.why = nameRefused
		return nil
	}
	address, ok := c.address(o)
	if !ok {
		o.why = badAddress
		return nil
	}
	if c.proven(f, o) {
		return c.giveBack(f, o, address)
	}
	if o.groups == "" {
		o.groups = o.req.Groups
	}
	groups, err := keys.ParseGroups(o.groups)
	if err != nil {
		o.why = badGroup
		return nil
	}
	if name, o.why = c.makeRoom(f, o, address); o.why != 0 {
		return nil
	}
	if o.key, err = f.Add(name, address, ""); err == nil && o.token != "" {
		err = f.SetToken(o.key.ID, o.token)
	}
	if err == nil && groups != nil {
		err = f.SetGroups(o.key.ID, groups)
	}
	return err
}

// proven says whether an agent may have the key back that the agent of its name has: it knows that key, or shows the very
// token with which that agent enrolled.
func (c *issuer) proven(f *keys.File, o *order) bool {
	holder, taken := f.Named(o.req.Name)
	if !c.cfg.returns || !taken {
		return false
	}
	return o.req.KeySum != "" && same(strings.ToLower(o.req.KeySum), keySum(holder)) || o.token != "" && f.Note(holder).Token == o.token
}

// giveBack gives an agent the key that it had. Where its address is to be another now, it is changed.
func (c *issuer) giveBack(f *keys.File, o *order, address keys.Address) error {
	holder, _ := f.Named(o.req.Name)
	if address != keys.Any && address != holder.Address {
		if ip, single := address.Single(); single {
			if other, has := f.At(ip); has && other.ID != holder.ID {
				o.why = addressTaken
				return nil
			}
		}
		var err error
		if holder, err = f.SetAddress(holder.ID, address); err != nil {
			return err
		}
	}
	if next := f.Note(holder).Next; next != "" { // it may be the one that the agent had last
		holder.Secret = next
	}
	o.key, o.returned = holder, true
	return nil
}

// address is what the key of an order is to have as its address.
func (c *issuer) address(o *order) (keys.Address, bool) {
	o.address = o.req.Address
	if c.cfg.Address == "source" || o.address == "src" {
		o.address = o.from.Unmap().WithZone("").String()
	}
	if o.address == "" {
		return keys.Any, true
	}
	address, err := keys.ParseAddress(o.address)
	return address, err == nil && !strings.HasPrefix(o.address, "!")
}

// makeRoom finds a name for an order, which is its own or a numbered one, and removes agents that are to be replaced.
func (c *issuer) makeRoom(f *keys.File, o *order, address keys.Address) (name string, why reason) {
	name = o.req.Name
	holder, taken := f.Named(name)
	var ip netip.Addr
	var single bool
	if ip, single = address.Single(); single {
		_, single = f.At(ip)
	}
	if !taken && !single {
		return name, 0
	}
	why = addressTaken
	if taken {
		why = nameTaken
		if o.req.KeySum != "" && same(strings.ToLower(o.req.KeySum), keySum(holder)) {
			return "", why // it has a key that is good
		}
	}
	switch {
	case c.cfg.policy == numberTaken && !single:
		return freeName(f, name)
	case c.cfg.policy == replaceSilent:
		return name, c.replace(f, o, name, ip, why)
	}
	return "", why
}

// replace removes the agents that have the name or the address, if all of them have been away for long enough.
func (c *issuer) replace(f *keys.File, o *order, name string, ip netip.Addr, why reason) reason {
	var old []string
	if k, ok := f.Named(name); ok {
		old = append(old, k.ID)
	}
	if k, ok := f.At(ip); ok && !slices.Contains(old, k.ID) {
		old = append(old, k.ID)
	}
	for _, id := range old {
		if c.cfg.Silence(id) < c.cfg.replace {
			return why
		}
	}
	for _, id := range old {
		if _, err := f.Remove(id); err != nil {
			return why
		}
	}
	o.replaced = strings.Join(old, " ")
	return 0
}

// freeName is the name with the first number behind it that is free, from 2 on.
func freeName(f *keys.File, name string) (string, reason) {
	for n := 2; n <= maxNumber; n++ {
		numbered := fmt.Sprintf("%s%d", name, n)
		if keys.CheckName(numbered) != nil {
			break
		}
		if _, taken := f.Named(numbered); !taken {
			return numbered, 0
		}
	}
	return "", nameTaken
}

// keySum is how an agent says which key it has already (docs/protocol.md, "Enrolment").
func keySum(k keys.Key) string {
	sum := sha1.Sum([]byte(k.ID + k.Name + k.Secret))
	return hex.EncodeToString(sum[:])
}
