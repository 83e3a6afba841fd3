package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"ossecd/keys/durable/queue"
	"ossecd/manager/journal"
)

// Spec is a sink to be.
type Spec struct {
	Name    string // for people; no two are alike
	Place   string // names its place in the journal; no two are alike
	Queue   int64  // bytes that it may be behind; 0 is no bound but that of the journal
	Hold    bool   // it loses nothing
	Start   queue.Start
	Filter  Filter
	Write   int    // about how many bytes of events one Write is given at most; 0 is 64 KB
	Earlier string // a directory in which an earlier version kept what waited for it, or empty
	File    string // that it writes, or empty
	Rotates bool   // it sets that file aside from time to time

	Open func(ctx context.Context, env Env) (Sink, error) // blocks at most until ctx ends
}

// Env is what the manager tells each sink when it is opened.
type Env struct {
	State string // the manager's state directory
	Log   *slog.Logger
}

// AlertsOnly has a sink be for reports that somebody should see, unless its table names others.
func (s *Spec) AlertsOnly() { s.Filter.Alerts = len(s.Filter.Actions) == 0 }

// Sinks are all sinks, and the journal that they read. Their methods may be called by many goroutines.
type Sinks struct {
	list    []*delivery
	env     Env
	log     *slog.Logger
	gone    chan error
	journal *journal.Journal
	closing chan struct{}
	telling sync.WaitGroup
}

// New makes sinks that are not open yet.
func New(specs []Spec, env Env) *Sinks {
	log := env.Log
	s := &Sinks{env: env, log: log, gone: make(chan error, len(specs)), closing: make(chan struct{})}
	for _, spec := range specs {
		spec.Write = cmp.Or(spec.Write, writeSize)
		spec.Filter.own = string(Member(nil, "sink", spec.Name))
		s.list = append(s.list, &delivery{Spec: spec, log: log, reopen: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}), gone: s.gone})
	}
	return s
}

// OpenJournal opens the journal, of which Dir, Limit, Keep, Sync, Memory, Share and Visit are given.
func (s *Sinks) OpenJournal(cfg journal.Config) (err error) {
	cfg.Log = s.log
	for _, d := range s.list {
		d.share = cfg.Share
		cfg.Readers = append(cfg.Readers, journal.ReaderConfig{Place: d.Place, Limit: d.Queue, Hold: d.Hold, Start: d.Start})
	}
	if s.journal, err = journal.Open(cfg); err != nil {
		return err
	}
	for i, d := range s.list {
		d.from = s.journal.Reader(i)
	}
	return nil
}

// CloseJournal closes it where there will be no Open.
func (s *Sinks) CloseJournal() { s.journal.Close(nil) }

// Open opens all sinks, or none. It blocks at most until ctx ends.
func (s *Sinks) Open(ctx context.Context) error {
	for i, d := range s.list {
		err := d.early.open(d.Earlier, d.Name, s.log)
		if err == nil {
			d.sink, err = d.Spec.Open(ctx, s.env)
		}
		if err != nil {
			d.early.close()
			for _, d := range s.list[:i] {
				d.abandon()
			}
			return err
		}
	}
	return nil
}

// Abandon closes the sinks after Open, where there will be no Start.
func (s *Sinks) Abandon() {
	for _, d := range s.list {
		d.abandon()
	}
}

func (d *delivery) abandon() {
	d.sink.Close()
	d.early.close()
}

// Start has the sinks written to until Close.
func (s *Sinks) Start() {
	s.journal.Start()
	for _, d := range s.list {
		if n := d.counts().Pending; n > 0 {
			s.log.Info("events of an earlier run wait in the journal", "events", d.Name, "count", n)
		}
		var ctx context.Context
		ctx, d.stop = context.WithCancel(context.Background())
		go d.run(ctx)
	}
	s.telling.Go(s.tell)
}

// Put takes events and never blocks. more says that others follow at once. The lot may be used again afterwards. end is for When.
func (s *Sinks) Put(l *Lot, more bool) (end uint64) { return s.journal.Put(&l.records, more) }

// When says that all that was put before a Put is safe, however the process ends. Where it is not, do is called once it is.
func (s *Sinks) When(end uint64, do func()) bool { return s.journal.When(end, do) }

// Absent are sinks of an earlier configuration, by their places: how many events they have not got.
func (s *Sinks) Absent() map[string]uint64 { return s.journal.Absent() }

// Held is what the journal holds (journal.Held).
func (s *Sinks) Held() (bytes int64, records uint64, oldest time.Time) { return s.journal.Held() }

// Lost is how many events no sink got (journal.Lost).
func (s *Sinks) Lost() (crowded, full uint64) { return s.journal.Lost() }

// Failing says that the journal's disk takes nothing, or takes long.
func (s *Sinks) Failing() bool { return s.journal.Failing() }

// Forget gives up what an absent sink has not got.
func (s *Sinks) Forget(place string) error { return s.journal.Forget(place) }

// Reopen has sinks open their files anew.
func (s *Sinks) Reopen() {
	for _, d := range s.list {
		select {
		case d.reopen <- struct{}{}:
		default:
		}
	}
}

// Gone is sent the reason when a sink is gone for good, which is an end for the manager.
func (s *Sinks) Gone() <-chan error { return s.gone }

// Counts gives each sink's name and counts.
func (s *Sinks) Counts() iter.Seq2[string, journal.Counts] {
	return func(yield func(string, journal.Counts) bool) {
		for _, d := range s.list {
			if !yield(d.Name, d.counts()) {
				return
			}
		}
	}
}

// LogCounts logs the counts of each sink for which they have changed since the last time. One goroutine at a time may call it.
func (s *Sinks) LogCounts() {
	for _, d := range s.list {
		d.logCounts()
	}
}

// Close takes no more events, waits until all that came before are written, but no longer than the given time, and closes
// the sinks. What is not written is in the journal, or counted in the error.
func (s *Sinks) Close(within time.Duration) error {
	deadline, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	close(s.closing)
	s.telling.Wait()
	s.journal.Flush(deadline.Done())
	errs := make([]error, len(s.list))
	var all sync.WaitGroup
	for i, d := range s.list {
		all.Go(func() { errs[i] = d.close(deadline.Done(), within) })
	}
	all.Wait()
	s.LogCounts()
	for i := range errs {
		if errs[i] != nil && len(errs) > 1 && !errors.Is(errs[i], ErrUnwritten) {
			errs[i] = fmt.Errorf("%s: %w", s.list[i].Name, errs[i])
		}
	}
	unwritten, err := s.journal.Close(deadline.Done())
	if unwritten > 0 {
		err = errors.Join(err, fmt.Errorf("%d %w to the journal within %v, and are lost; look at its disk", unwritten, ErrUnwritten, within))
	}
	return errors.Join(append(errs, err)...)
}
