// Package channel is the stock conversation with agents, over UDP and TCP: it opens what they send, judges whether it is theirs and fresh,
// puts their events into the journal, and answers once they are there. What it refuses it counts and explains.
//
//	socket ── receiver ── fleet: which agent ── open ── count ──┬── control: answer, return path, fleet: presence
//	             │                                              └── event: record ── Events, the journal
//	             └── refusals: counted by reason, logged once a minute
//
// A receiver takes a message all the way, in one goroutine: there is one for each UDP socket, and each goroutine that reads TCP connections has
// one. Nothing of an agent's state changes before its message
// was found authentic and fresh.
package channel

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"ossecd/keys/limitlog"
	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// Events are where events go.
type Events interface {
	// Put never blocks, and the lot may be used again afterwards; more says that others follow at once.
	Put(l *sink.Lot, more bool) (end uint64)
	// When says that all that was put before end is safe, however the process ends; if not, do is called once it is.
	When(end uint64, do func()) bool
}

// Counter counts what we send; it is a *keys.Sender. Receivers use it, so it has nothing that waits for a disk.
type Counter interface {
	TryNext() (proto.Counter, error)
	RebaseSoon(failed func(error))
}

// Config is what a Channel is told.
type Config struct {
	Run     string       // names this run of the manager to agents that are ours
	Accepts proto.Method // the cipher that agents may use; 0 is any
	State   string       // the manager's state directory, as remedies name it
	Sender  Counter
	Events  Events
	Log     *slog.Logger
}

// Channel is the conversations with all agents.
type Channel struct {
	cfg      Config
	fleet    *fleet.Fleet
	log      *slog.Logger
	limited  *limitlog.Logger
	refusals *refusals
	taken    atomic.Uint64 // events

	outside struct { // for what is no answer, or a late one
		sync.Mutex // taken before a peer's lock
		replier
	}
}

// New makes the channel. Join must follow.
func New(cfg Config) (*Channel, error) {
	c := &Channel{cfg: cfg, log: cfg.Log, limited: limitlog.New(cfg.Log), refusals: newRefusals(cfg.Log)}
	r, err := newReplier(c)
	if err != nil {
		return nil, err
	}
	c.outside.replier = *r
	return c, nil
}

// Join has the channel serve the agents of a fleet, for which Converse makes the conversations.
func (c *Channel) Join(f *fleet.Fleet) { c.fleet = f }

// Receive takes what comes to a socket until that is closed.
func (c *Channel) Receive(ctx context.Context, conn listen.PacketConn) error {
	r, err := newReceiver(c, conn)
	if err != nil {
		return err
	}
	return r.run(ctx, conn)
}

// Run logs until ctx ends what is refused.
func (c *Channel) Run(ctx context.Context) { c.refusals.run(ctx) }

// Taken is how many events were taken.
func (c *Channel) Taken() uint64 { return c.taken.Load() }

// Refused counts what was refused, by reason, where there was any.
func (c *Channel) Refused() map[string]uint64 { return c.refusals.all() }

// Summary is the same as attributes for a log line.
func (c *Channel) Summary() []any { return c.refusals.summary() }
