// Package outbox keeps events between the sources and the conversations with managers.
//
//	source ─┐ Output                     ┌─ Reader ─▶ a conversation
//	source ─┼────────▶ spool, on disk ───┤
//	source ─┘                            └─ Reader ─▶ a conversation with another manager
//
// With a spool, what a source emits is safe once it is on disk, and each [Reader] keeps it until a manager has it. Without one, or while
// the disk takes nothing, a Reader takes batches from the sources themselves, which wait meanwhile.
package outbox

import (
	"log/slog"
	"sync"

	"ossecd/agent/spool"
)

// Config says how an Outbox keeps events.
type Config struct {
	Spool   *spool.Spool // nil without one
	Readers int          // how many there are; with several, a Spool is needed
	// Fill is how many bytes of the spool a source that says much may fill while no manager takes events; 0 for no bound.
	Fill int64
	// ResendMax is how many events, of those that a manager may not have got, are sent again.
	ResendMax int
	// Finish has Idle of an Output wake the readers.
	Finish bool
	Log    *slog.Logger
}

// Outbox is where all sources put their events, and where each conversation takes them from.
type Outbox struct {
	cfg     Config
	readers []*Reader
	done    chan struct{} // closed once there are no more readers
	awaited []*Output
	read    sync.Map // *atomic.Uint64 by the name of a source: events
}

// New makes an Outbox.
func New(cfg Config) *Outbox {
	o := &Outbox{cfg: cfg, done: make(chan struct{})}
	for i := range cfg.Readers {
		r := &Reader{box: o, handed: make(chan *Batch), idled: make(chan struct{}, 1), done: make(chan struct{})}
		if cfg.Spool != nil {
			r.spool = cfg.Spool.Reader(i)
		}
		o.readers = append(o.readers, r)
	}
	return o
}

// Reader is one of Config.Readers, the first with index 0.
func (o *Outbox) Reader(i int) *Reader { return o.readers[i] }

// Close has whoever waits in Emit go on. All readers have been closed.
func (o *Outbox) Close() { close(o.done) }
