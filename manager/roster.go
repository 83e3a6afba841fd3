package manager

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// roster is the set of all agents. It never changes once made: new keys make a new roster.
type roster struct {
	byID   map[string]*agent
	byAddr map[netip.Addr]*agent // those whose key has a single address
	gone   map[string]*agent     // removed since we run, by ID, and by single address
}

// find returns the agent that a frame claims to come from, by its ID or else by the source address, and why
// there is none (docs/protocol.md, "Receiving"). Nothing is proven by it.
func (r *roster) find(f *proto.Frame, from netip.Addr) (*agent, reason) {
	if f.ID == nil {
		if a := r.byAddr[from.WithZone("")]; a != nil {
			return a, 0
		}
		return nil, unknownAddress
	}
	a := r.byID[string(f.ID)]
	if a == nil {
		return nil, unknownID
	}
	if !a.key.Address.Contains(from) {
		return a, wrongSource
	}
	return a, 0
}

// stockCounters reads what the stock rids files say, of those agents that have one. A file that cannot be read
// is logged and passed over: what the received counters themselves know stays in force.
func (m *manager) stockCounters() map[string]proto.Counter {
	counters := make(map[string]proto.Counter)
	entries, err := os.ReadDir(m.ridsDir())
	if err != nil {
		return counters // nothing there to take over
	}
	for _, e := range entries {
		id := e.Name()
		if id == "" || id[0] < '0' || id[0] > '9' {
			continue // sender_counter, and what does not belong here
		}
		counters[id] = m.stockCounter(id)
	}
	return counters
}

// stockCounter reads what the stock rids file of one agent says; zero where there is none.
func (m *manager) stockCounter(id string) proto.Counter {
	c, ok, err := keys.ReadRids(m.ridsDir(), id)
	if err != nil {
		m.log.Warn("a rids file was ignored", "err", err)
	}
	if err != nil || !ok {
		return proto.Counter{}
	}
	return c
}

// newRoster makes the roster of a set of keys. An agent whose key is the same as in old goes on as it was; one
// whose KEY is the same but name or address is not keeps its counter and liveness. One for which no received counter
// can be made is left out, and the error says why; all others are in.
func (m *manager) newRoster(set *keys.Set, old *roster) (*roster, error) {
	stock := m.stockCounter // few agents are new, as a rule
	if old == nil {
		all := m.stockCounters() // a directory that has files for few agents is read faster than it is asked for each
		stock = func(id string) proto.Counter { return all[id] }
	}
	var first error
	without := 0
	r := &roster{
		byID:   make(map[string]*agent, len(set.Keys)),
		byAddr: make(map[netip.Addr]*agent),
	}
	for _, k := range set.Keys {
		var was *agent
		if old != nil {
			was = old.byID[k.ID]
		}
		a := was
		next, rotating := set.Next(k.ID)
		if was == nil || was.key != k {
			slot, err := m.received.Slot(k.ID, k.Secret, "", stock(k.ID))
			if err != nil {
				if without++; first == nil {
					first = err
				}
				continue
			}
			known := m.sinks.NewAgent(k.ID, k.Name, k.Address.String())
			if labels := labelsOf(m.cfg.labels, k.ID, k.Name); labels != nil {
				known.SetLabels(labels)
			}
			a = &agent{key: k, cipher: proto.NewCipher(k.CipherKey()), slot: slot, sinks: known, since: time.Now().Unix(), before: slot.Highest()}
			if was != nil && was.key.Secret == k.Secret {
				was.mu.Lock()
				a.life, a.before, a.first = was.life, was.before, was.first
				was.mu.Unlock()
				a.life.watched = time.Time{} // that was the other one
			} else if was != nil && was.tookUp(k) {
				a.goOn(was)
			} else {
				now := time.Now()
				if old == nil { // later the files are our own
					heardByStock(slot, m.cfg.stock().LastHeard(k), now)
				}
				a.life.resume(slot, now)
			}
		}
		if err := m.setSpare(a, next, rotating); err != nil && first == nil {
			first = err
		}
		if was != nil && was != a {
			a.goOnUsing(was)
		}
		r.byID[k.ID] = a
		if ip, ok := k.Address.Single(); ok {
			r.byAddr[ip] = a
		}
	}
	if old != nil {
		r.keepGone(old)
	}
	if first != nil {
		return r, fmt.Errorf("%d agents are left out: %w", without, first)
	}
	return r, nil
}
