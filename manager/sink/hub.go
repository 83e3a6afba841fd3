package sink

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is where events go. Its methods are called by one goroutine at a time.
type Sink interface {
	// Write delivers the events of a batch in their order. It returns an error unless it is done with all of them: then
	// the rest are given again after a while. It returns soon after ctx ends.
	Write(ctx context.Context, events Batch) (Result, error)
	// Close ends it. What was written is out.
	Close() error
}

// Result is how far a Write came.
type Result struct {
	Done    int // events, from the first on, that are not to be given again
	Refused int // those of them that will never be taken
}

// Reopener is a sink that can be told to open its files anew, since another program has renamed them.
type Reopener interface{ Reopen() error }

// ErrGone says that what read the events is gone for good, and no other can take its place.
var ErrGone = errors.New("what read them is gone")

// endWithin is what a sink may take to end once its time is up.
const endWithin = 50 * time.Millisecond

// Spec is a sink to be.
type Spec struct {
	Name   string // for people; no two are alike
	Limit  int    // bytes that may wait for it
	Share  int    // how much of that one agent may fill, in percent
	Disk   Disk   // more that may wait, after that
	Filter Filter
	Write  int                                     // about how many bytes of events one Write is given at most; 0 is 64 KB
	Open   func(ctx context.Context) (Sink, error) // blocks at most until ctx ends
}

// Hub gives events to all sinks. Its methods may be called by many goroutines.
type Hub struct {
	queues []*eventQueue
	log    *slog.Logger
	gone   chan error
	told   []Counts // by LogCounts
	serial atomic.Uint64
}

// NewHub makes a hub of sinks that are not open yet.
func NewHub(specs []Spec, log *slog.Logger) *Hub {
	h := &Hub{log: log, gone: make(chan error, len(specs)), told: make([]Counts, len(specs))}
	h.serial.Store(uint64(time.Now().UnixNano())) // there are fewer than one a nanosecond: those of the last run are below
	for i, s := range specs {
		q := &eventQueue{number: i, name: s.Name, limit: s.Limit, share: s.Limit / 100 * s.Share, write: s.Write, open: s.Open, log: log, filling: 1, done: 1, next: 1, percent: s.Share, place: s.Disk,
			wake: make(chan struct{}, 1), closing: make(chan struct{}), hub: h, ended: make(chan struct{}), gone: h.gone}
		if q.write == 0 {
			q.write = writeSize
		}
		if !s.Filter.empty() {
			q.filter = &s.Filter
		}
		h.queues = append(h.queues, q)
	}
	return h
}

// NewAgent makes an agent as sinks see it.
func (h *Hub) NewAgent(id, name, ip string) *Agent {
	cut := func(s string) string { return s[:min(len(s), maxText)] }
	a := &Agent{ID: cut(id), Name: cut(name), IP: cut(ip), stakes: make([]stake, len(h.queues))}
	a.identity = []byte(a.ID + a.Name + a.IP)
	for i, q := range h.queues {
		a.stakes[i].shut = q.filter != nil && q.filter.shuts(a.ID, a.Name)
	}
	return a
}

// SetLabels gives an agent labels, a JSON object of MaxLabels at most. Nothing may have been said of it yet.
func (a *Agent) SetLabels(object []byte) {
	a.identity = append([]byte(a.ID+a.Name+a.IP), object...)
	a.labels = len(object)
}

// NewSender makes a source of events that is no agent, to share the queues with agents.
func (h *Hub) NewSender(called string) *Agent {
	a := h.NewAgent("", "", "")
	a.called = called
	return a
}

// Open opens all sinks, or none. It blocks at most until ctx ends.
func (h *Hub) Open(ctx context.Context) error {
	for i, q := range h.queues {
		if err := q.openAll(ctx); err != nil {
			for _, q := range h.queues[:i] {
				q.abandon()
			}
			return err
		}
	}
	return nil
}

// Abandon closes the sinks after Open, where there will be no Start.
func (h *Hub) Abandon() {
	for _, q := range h.queues {
		q.abandon()
	}
}

// Start has the sinks written to until Close.
func (h *Hub) Start() {
	for _, q := range h.queues {
		var ctx context.Context
		ctx, q.stop = context.WithCancel(context.Background())
		go q.run(ctx)
		if q.disk != nil {
			go q.spills()
		}
	}
}

// Put takes events and never blocks. more says that others follow at once. The lot may be used again afterwards.
func (h *Hub) Put(l *Lot, more bool) {
	serial := h.serial.Add(uint64(len(l.ends))) - uint64(len(l.ends))
	from := 0
	for _, e := range l.ends {
		serial++
		stamp(l.records[from:], serial)
		from = e.at
	}
	for _, q := range h.queues {
		q.put(l, more)
	}
}

// tellLosses gives reports of losses in one queue to the sinks that are for reports alone. Losses in these stay among them, since
// two that are full would tell each other without end.
func (h *Hub) tellLosses(in *eventQueue, reports Batch) {
	if len(reports) == 0 || in.filter != nil && in.filter.reports() {
		return
	}
	var l Lot
	for len(reports) > 0 {
		size := recordSize(reports)
		l.records = append(l.records, reports[:size]...)
		l.ends = append(l.ends, lotEnd{at: len(l.records)})
		reports = reports[size:]
	}
	for _, q := range h.queues {
		if q != in && q.filter != nil && q.filter.reports() {
			q.put(&l, false)
		}
	}
}

// Reopen has sinks open their files anew.
func (h *Hub) Reopen() {
	for _, q := range h.queues {
		q.mu.Lock()
		q.reopen = true
		q.mu.Unlock()
		q.nudge()
	}
}

// Gone is sent the reason when a sink is gone for good, which is an end for the manager.
func (h *Hub) Gone() <-chan error { return h.gone }

// Counts gives each sink's name and counts.
func (h *Hub) Counts() iter.Seq2[string, Counts] {
	return func(yield func(string, Counts) bool) {
		for _, q := range h.queues {
			if !yield(q.name, q.tally()) {
				return
			}
		}
	}
}

// LogCounts logs the counts of each sink for which they have changed since the last time. One goroutine at a time may call it.
func (h *Hub) LogCounts() {
	for i, q := range h.queues {
		if c := q.tally(); c != h.told[i] {
			h.told[i] = c
			h.log.Info("events handed on", "events", q.name, "received", c.Received, "delivered", c.Delivered, "pending", c.Pending,
				"lost", c.Lost, "filtered", c.Filtered)
		}
	}
}

// Close takes no more events, waits until all that came before are written, but no longer than the given time, and closes
// the sinks. What is not written is counted in the error.
func (h *Hub) Close(within time.Duration) error {
	deadline, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	errs := make([]error, len(h.queues))
	var all sync.WaitGroup
	for i, q := range h.queues {
		all.Go(func() { errs[i] = q.close(deadline.Done(), within) })
	}
	all.Wait()
	h.LogCounts()
	for i := range errs {
		if errs[i] != nil && len(errs) > 1 && !errors.Is(errs[i], ErrUnwritten) {
			errs[i] = fmt.Errorf("%s: %w", h.queues[i].name, errs[i])
		}
	}
	return errors.Join(errs...)
}
