package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// reader is a sink that can be slow, block, or fail. It takes the messages of events, a line each, and reports as JSON.
type reader struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	fail   error
	short  int    // events taken before a failure
	refuse string // messages that are never taken
	gate   chan struct{}
	form   JSON
}

func (r *reader) Write(ctx context.Context, events Batch) (res Result, err error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var e Event
	for events.Next(&e) {
		switch {
		case r.fail != nil && res.Done == r.short:
			return res, r.fail
		case r.refuse != "" && string(e.Message) == r.refuse:
			res.Refused++
		case len(e.Action) > 0:
			r.buf.Write(r.form.Append(nil, &e))
		default:
			fmt.Fprintf(&r.buf, "%s\n", e.Message)
		}
		res.Done++
	}
	return res, nil
}

func (r *reader) Close() error { return nil }

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func (r *reader) set(fail error, short int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.short = fail, short
}

// spec is a sink for r.
func spec(r Sink, limit int) Spec {
	return Spec{Name: "test", Limit: limit, Share: 100, Open: func(context.Context) (Sink, error) { return r, nil }}
}

func start(t *testing.T, log *slog.Logger, specs ...Spec) *Hub {
	t.Helper()
	h := NewHub(specs, log)
	if err := h.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.Start()
	return h
}

func end(t *testing.T, h *Hub) {
	t.Helper()
	if err := h.Close(time.Second); err != nil {
		t.Error(err)
	}
	for _, q := range h.queues {
		if c := q.tally(); c.Received != c.Delivered+c.Lost || c.Pending != 0 {
			t.Errorf("%s: counts do not add up: %+v", q.name, c)
		}
	}
}

var from = netip.MustParseAddrPort("10.0.0.7:40112")

// give puts one event; a nil agent is one without a share.
func (h *Hub) give(message string, a *Agent) {
	var l Lot
	if a != nil {
		l.Event(a, testNow, 1, from, '1', []byte("/var/log/x"), []byte(message))
	} else {
		l.Report(nil, nil, testNow, message, Report{})
	}
	h.Put(&l, false)
}

// sizeOf is how much of a queue an event without an agent takes.
func sizeOf(message string) int { return recordHead + len(own) + len(message) }

func TestQueueWritesAllInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		h := start(t, quiet, spec(r, 64<<20))
		var want strings.Builder
		for i := range 10_000 {
			line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%300))
			want.WriteString(line + "\n")
			h.give(line, nil)
		}
		end(t, h)
		if r.String() != want.String() {
			t.Error("events differ from those put in")
		}
	})
}

func TestQueueWritesWithoutClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		h := start(t, quiet, spec(r, 1000))
		for i := range 3 {
			synctest.Wait()
			h.give("a", nil)
			synctest.Wait()
			if got := r.String(); got != strings.Repeat("a\n", i+1) {
				t.Errorf("written %q", got)
			}
		}
		end(t, h)
	})
}

func TestQueueLosesTheNewestAndSaysHowMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		h := start(t, quiet, spec(r, 4*sizeOf("line0"))) // the first and three more
		h.give("first", nil)
		synctest.Wait() // it is in the writer's hand now, which blocks
		for i := range 10 {
			h.give(fmt.Sprintf("line%d", i), nil)
		}
		if c := h.queues[0].tally(); c != (Counts{Received: 11, Pending: 4, Lost: 7}) {
			t.Errorf("counts %+v", c)
		}
		close(r.gate)
		synctest.Wait()
		got := r.String()
		if !strings.HasPrefix(got, "first\nline0\nline1\nline2\n{") || !strings.Contains(got, `"event":{"action":"events-lost","count":7,"sink":"test"}}`) {
			t.Errorf("written %q", got)
		}
		end(t, h)
	})
}

func TestQueueHoldsAnAgentToItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		s := spec(r, 20_000)
		s.Share = 50
		h := start(t, quiet, s)
		flooder, other := h.NewAgent("001", "web01", "any"), h.NewAgent("002", "db01", "any")
		h.give("first", nil)
		synctest.Wait() // in the writer's hand, which blocks
		flood := strings.Repeat("f", 200-len(appendEvent(nil, flooder, 0, 0, from, '1', []byte("/var/log/x"), nil)))
		for range 1000 {
			h.give(flood, flooder)
		}
		for range 10 {
			h.give("o", other)
		}
		close(r.gate)
		end(t, h)
		got := r.String()
		if f, n := strings.Count(got, "ff\n"), strings.Count(got, "o\n"); f != 50 || n != 10 {
			t.Errorf("%d events of the agent that floods and %d of the other, want 50 and 10", f, n)
		}
		if !strings.Contains(got, `"agent":{"id":"001","name":"web01","ip":"any"},`) || !strings.Contains(got, `"event":{"action":"events-lost","count":950,"sink":"test"}}`) {
			t.Errorf("not reported: %q", got[max(0, len(got)-300):])
		}
	})
}

func TestQueueTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(errors.New("no space left on device"), 1)
		h := start(t, quiet, spec(r, 1000))
		var l Lot
		for _, m := range []string{"one", "two", "three"} {
			l.Report(nil, nil, testNow, m, Report{})
		}
		h.Put(&l, false)
		synctest.Wait()
		r.set(nil, 0)
		time.Sleep(2 * retryFirst)
		if got := r.String(); got != "one\ntwo\nthree\n" {
			t.Errorf("written %q", got)
		}
		end(t, h)
	})
}

// What a sink refuses for good is counted, and holds up nothing.
func TestQueueCountsWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{refuse: "bad"}
		h := start(t, quiet, spec(r, 1000))
		for _, m := range []string{"one", "bad", "two"} {
			h.give(m, nil)
		}
		synctest.Wait()
		if c := h.queues[0].tally(); c != (Counts{Received: 3, Delivered: 2, Lost: 1}) || r.String() != "one\ntwo\n" {
			t.Errorf("counts %+v, written %q", c, r.String())
		}
		end(t, h)
	})
}

func TestQueueCountsWhatAStopLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		h := start(t, quiet, spec(r, 1000))
		for range 5 {
			h.give("a line", nil)
			synctest.Wait()
		}
		began := time.Now()
		err := h.Close(2 * time.Second)
		if took := time.Since(began); !errors.Is(err, ErrUnwritten) || !strings.Contains(err.Error(), "5 events") || took > 2*time.Second+endWithin {
			t.Errorf("after %v: %v", took, err)
		}
		close(r.gate)
	})
}

// A stop tries what failed once more at once, however long the pause before the next try.
func TestStopTriesOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, spec(r, 1000))
		h.give("a", nil)
		time.Sleep(20 * retryMost)
		r.set(nil, 0)
		began := time.Now()
		end(t, h)
		if took := time.Since(began); took > 0 || r.String() != "a\n" {
			t.Errorf("after %v written %q", took, r.String())
		}
	})
}

// A sink that hangs delays and loses nothing of another one, and its agents' shares are its own.
func TestASlowSinkSlowsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, fast := &reader{gate: make(chan struct{})}, &reader{}
		slowSpec, fastSpec := spec(slow, 2000), spec(fast, 2000)
		slowSpec.Share, fastSpec.Share = 50, 50
		h := start(t, quiet, slowSpec, fastSpec)
		a := h.NewAgent("001", "web01", "any")
		for i := range 100 {
			h.give(fmt.Sprintf("line %d", i), a)
			synctest.Wait()
		}
		if got := strings.Count(fast.String(), "line"); got != 100 {
			t.Errorf("the fast one has %d of 100", got)
		}
		if c := h.queues[0].tally(); c.Received != 100 || c.Pending+c.Lost != 100 || c.Lost == 0 {
			t.Errorf("the slow one counts %+v", c)
		}
		close(slow.gate)
		end(t, h)
	})
}

func TestASinkThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(fmt.Errorf("pipe: %w", ErrGone), 0)
		h := start(t, quiet, spec(r, 1000))
		h.give("a", nil)
		if err := <-h.Gone(); !errors.Is(err, ErrGone) {
			t.Error(err)
		}
		if err := h.Close(time.Second); !errors.Is(err, ErrUnwritten) {
			t.Error(err)
		}
	})
}

// syncBuffer is a buffer for many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A queue that overflows many times a second, by an agent or as a whole, is logged once a minute; every loss is an event.
func TestAnOverflowIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs syncBuffer
		r := &reader{}
		s := spec(r, 1000)
		s.Share = 50
		h := start(t, slog.New(slog.NewTextHandler(&logs, nil)), s)
		flooder := h.NewAgent("001", "web01", "any")
		const rounds = 20
		for range rounds {
			h.give(strings.Repeat("f", 501), flooder) // over its share
			h.give(strings.Repeat("x", 1001), nil)    // over everything
			h.give("", nil)
			synctest.Wait()
		}
		if got := strings.Count(r.String(), `"count":1,`); got != 2*rounds {
			t.Errorf("%d events about losses, want %d", got, 2*rounds)
		}
		if got := strings.Count(logs.String(), "\n"); got != 4 {
			t.Errorf("%d log lines, want 2 that it began and 2 that it ended:\n%s", got, logs.String())
		}
		end(t, h)
		if want := "received=100 delivered=60 pending=0 lost=40 filtered=0"; !strings.Contains(logs.String(), want) {
			t.Errorf("not logged: %s\n%s", want, logs.String())
		}
	})
}

// BenchmarkPut is handing over batches of 32 events to as many sinks, none of which does anything.
func BenchmarkPut(b *testing.B) {
	for _, sinks := range []int{1, 2, 5} {
		b.Run(fmt.Sprint(sinks), func(b *testing.B) {
			var specs []Spec
			for range sinks {
				specs = append(specs, spec(idle{}, 64<<20))
			}
			h := NewHub(specs, quiet)
			if err := h.Open(b.Context()); err != nil {
				b.Fatal(err)
			}
			h.Start()
			a := h.NewAgent("001", "web01", "any")
			location, message := []byte("/var/log/auth.log"), bytes.Repeat([]byte("Failed password "), 12)
			var l Lot
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Event(a, testNow, 1, from, '1', location, message)
				if i%32 == 0 {
					h.Put(&l, true)
					l.Clear()
				}
			}
			if err := h.Close(time.Minute); err != nil {
				b.Error(err)
			}
		})
	}
}

// idle takes all and does nothing.
type idle struct{}

func (idle) Write(_ context.Context, events Batch) (Result, error) {
	return Result{Done: events.Len()}, nil
}

func (idle) Close() error { return nil }
