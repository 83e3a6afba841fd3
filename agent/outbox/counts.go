package outbox

import "sync/atomic"

// counter counts the events of all sources of a name.
func (o *Outbox) counter(name string) *atomic.Uint64 {
	n, _ := o.read.LoadOrStore(name, new(atomic.Uint64))
	return n.(*atomic.Uint64)
}

// Read is how many events the sources have emitted, by their names.
func (o *Outbox) Read() map[string]uint64 {
	all := make(map[string]uint64)
	o.read.Range(func(name, n any) bool {
		if name != "" { // what the agent itself says
			all[name.(string)] = n.(*atomic.Uint64).Load()
		}
		return true
	})
	return all
}

// Moved is how many events were sent, and how many of them are known to have arrived. With several readers an event counts for each.
func (o *Outbox) Moved() (sent, arrived uint64) {
	for _, r := range o.readers {
		sent, arrived = sent+r.moved.Load(), arrived+r.arrived.Load()
	}
	return sent, arrived
}

// Connected is how many of the readers have a manager that takes events.
func (o *Outbox) Connected() (managers, all int) {
	for _, r := range o.readers {
		if r.taking.Load() {
			managers++
		}
	}
	return managers, len(o.readers)
}

// Spooled is the size of the spool; kept is false without one.
func (o *Outbox) Spooled() (bytes int64, kept bool) {
	if o.cfg.Spool == nil {
		return 0, false
	}
	bytes, _, _ = o.cfg.Spool.Held()
	return bytes, true
}
