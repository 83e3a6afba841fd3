package fleet

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"ossecd/keys"
)

// maxGone is how many removed agents are remembered, to tell them so.
const maxGone = 10_000

// Roster is the set of all agents. It never changes once made: new keys make a new Roster.
type Roster struct {
	byID   map[string]*Agent
	byAddr map[netip.Addr]*Agent // those whose key has a single address
	gone   map[string]*Agent     // removed since we run, by ID, and by single address
}

// ByID is the agent of an ID, or nil.
func (r *Roster) ByID(id string) *Agent { return r.byID[id] }

// Claims is the agent that a frame with an ID claims to come from, or nil. Nothing is proven by it, nor is the address looked at.
func (r *Roster) Claims(id []byte) *Agent { return r.byID[string(id)] }

// ByAddr is the agent whose key is for this address alone, or nil.
func (r *Roster) ByAddr(from netip.Addr) *Agent { return r.byAddr[from.WithZone("")] }

// ByName is the agent of this name, or nil.
func (r *Roster) ByName(name string) *Agent {
	for _, a := range r.byID {
		if a.Key.Name == name {
			return a
		}
	}
	return nil
}

// Gone is an agent that was removed since we run, by its ID, or by its single address where there is no ID; nil for none.
func (r *Roster) Gone(id []byte, from netip.Addr) *Agent {
	if len(r.gone) == 0 {
		return nil
	}
	who := string(id)
	if id == nil {
		who = from.WithZone("").String()
	}
	a := r.gone[who]
	if a == nil || !a.Key.Address.Contains(from) {
		return nil
	}
	return a
}

// Len is the number of agents.
func (r *Roster) Len() int { return len(r.byID) }

// Each are all agents, in no order.
func (r *Roster) Each(yield func(*Agent) bool) {
	for _, a := range r.byID {
		if !yield(a) {
			return
		}
	}
}

// All are all agents, by ID.
func (r *Roster) All() []*Agent {
	all := make([]*Agent, 0, len(r.byID))
	for _, a := range r.byID {
		all = append(all, a)
	}
	Sort(all)
	return all
}

// Sort sorts agents by the number that is their ID: these are texts of up to 8 digits.
func Sort(all []*Agent) {
	slices.SortFunc(all, func(a, b *Agent) int {
		x, y := strings.TrimLeft(a.Key.ID, "0"), strings.TrimLeft(b.Key.ID, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(a.Key.ID, b.Key.ID))
	})
}

// slots are the received counters of all agents.
func (r *Roster) slots(yield func(*keys.Slot) bool) {
	for _, a := range r.byID {
		if !yield(a.Slot) {
			return
		}
	}
}

// keptSlots are those of all keys that are or were good since we run.
func (r *Roster) keptSlots(yield func(*keys.Slot) bool) {
	for _, some := range []map[string]*Agent{r.byID, r.gone} {
		for _, a := range some {
			if next := a.Next(); !yield(a.Slot) || next != nil && !yield(next.Slot) {
				return
			}
		}
	}
}

// keepGone keeps the agents that were removed since we run, and returns those that were just now.
func (r *Roster) keepGone(old *Roster) (gone []*Agent) {
	r.gone = make(map[string]*Agent)
	keep := func(a *Agent) {
		if len(r.gone) >= maxGone || r.byID[a.Key.ID] != nil {
			return
		}
		r.gone[a.Key.ID] = a
		if ip, ok := a.Key.Address.Single(); ok {
			r.gone[ip.String()] = a
		}
	}
	for id, a := range old.byID {
		if r.byID[id] == nil {
			gone = append(gone, a)
			keep(a)
		}
	}
	for _, a := range old.gone {
		keep(a)
	}
	return gone
}
