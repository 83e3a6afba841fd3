package fleet

import (
	"net/netip"
	"sync"
	"time"
)

// Kind is what an Event tells.
type Kind uint8

// The kinds.
const (
	Connected Kind = iota
	Disconnected
	StillDisconnected
	ManyDisconnected
	ManyStill
	Cloned
)

// Event is something about agents that people may want to know.
type Event struct {
	Kind  Kind
	At    time.Time
	Agent *Agent // nil for ManyDisconnected and ManyStill
	// ByItself says that the agent brings this about itself, and can as often as it likes.
	ByItself bool

	LastSeen time.Time      // when it was last heard, as far as known; Connected: before its outage
	Source   netip.AddrPort // from where, likewise; Cloned: of one of the two
	Other    netip.AddrPort // Cloned: of the other
	Interval time.Duration  // Disconnected, StillDisconnected: of its keepalives, as far as known
	Reason   string         // Disconnected: "silent" or "goodbye"
	Outage   time.Duration  // Connected, StillDisconnected: how long, where LastSeen is known
	Untold   int            // Connected, Disconnected: changes before this one that were not told

	Count, Of, Back int       // ManyDisconnected: agents, of how many, and how many are back already; ManyStill: agents
	First, Last     time.Time // ManyDisconnected
}

// outbox is what is to be reported and logged once the locks are released, in the order in which it came about.
type outbox struct {
	delivering sync.Mutex // held meanwhile; it is taken before mu
	mu         sync.Mutex
	waiting    []func()
}

// add has something reported at the next deliver. Locks may be held.
func (o *outbox) add(report func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, report)
}

// deliver returns once all that was added before is reported. No lock of the fleet may be held.
func (o *outbox) deliver() {
	o.delivering.Lock()
	defer o.delivering.Unlock()
	for {
		o.mu.Lock()
		all := o.waiting
		o.waiting = nil
		o.mu.Unlock()
		if len(all) == 0 {
			return
		}
		for _, report := range all {
			report()
		}
	}
}
