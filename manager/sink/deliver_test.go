package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/manager/journal"
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
func spec(r Sink) Spec {
	return Spec{Name: "test", Open: func(context.Context, Env) (Sink, error) { return r, nil }}
}

// limits are those of a journal for tests; what is 0 is large.
type limits struct {
	dir    string
	size   int64
	memory int
	share  int
}

func start(t testing.TB, log *slog.Logger, lim limits, specs ...Spec) *Sinks {
	t.Helper()
	for i := range specs {
		specs[i].Place = fmt.Sprint("place", i)
	}
	cfg := journal.Config{Dir: lim.dir, Limit: max(lim.size, 1<<20), Memory: lim.memory, Share: lim.share, Sync: time.Second}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if lim.size == 0 {
		cfg.Limit = 64 << 20
	}
	if cfg.Memory == 0 {
		cfg.Memory = 64 << 20
	}
	if cfg.Share == 0 {
		cfg.Share = 100
	}
	s := New(specs, Env{Log: log})
	if err := s.OpenJournal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s
}

func end(t testing.TB, s *Sinks) {
	t.Helper()
	if err := s.Close(time.Second); err != nil {
		t.Error(err)
	}
	for _, d := range s.list {
		if c := d.counts(); c.Received != c.Delivered+c.Lost || c.Pending != 0 {
			t.Errorf("%s: counts do not add up: %+v", d.Name, c)
		}
	}
}

var from = netip.MustParseAddrPort("10.0.0.7:40112")

// give puts one event; a nil agent is one without a share.
func (s *Sinks) give(message string, a *Agent) {
	var l Lot
	if a != nil {
		l.Event(a, testNow, 1, from, '1', []byte("/var/log/x"), []byte(message))
	} else {
		l.Report(nil, nil, testNow, message, Report{})
	}
	s.Put(&l, false)
}

// numbered puts events with rising numbers.
func numbered(s *Sinks, from, to int) {
	for i := from; i <= to; i++ {
		s.give(fmt.Sprintf("event %d", i), nil)
	}
}

// inOrder checks that r has events with rising numbers, and nothing else.
func inOrder(t *testing.T, r *reader, from, to int) {
	t.Helper()
	var want strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&want, "event %d\n", i)
	}
	if got := r.String(); got != want.String() {
		t.Errorf("got %d lines, want %d: %.200q ... %.200q", strings.Count(got, "\n"), to-from+1, got, got[max(0, len(got)-200):])
	}
}

// adds checks that counts add up.
func adds(t *testing.T, c journal.Counts) {
	t.Helper()
	if c.Received != c.Delivered+c.Pending+c.Lost {
		t.Errorf("counts do not add up: %+v", c)
	}
}

func TestWritesAllInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		s := start(t, quiet, limits{}, spec(r))
		var want strings.Builder
		for i := range 10_000 {
			line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%300))
			want.WriteString(line + "\n")
			s.give(line, nil)
		}
		end(t, s)
		if r.String() != want.String() {
			t.Error("events differ from those put in")
		}
	})
}

func TestWritesWithoutClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		s := start(t, quiet, limits{}, spec(r))
		for i := range 3 {
			synctest.Wait()
			s.give("a", nil)
			synctest.Wait()
			if got := r.String(); got != strings.Repeat("a\n", i+1) {
				t.Errorf("written %q", got)
			}
		}
		end(t, s)
	})
}

func TestTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(errors.New("no space left on device"), 1)
		s := start(t, quiet, limits{}, spec(r))
		var l Lot
		for _, m := range []string{"one", "two", "three"} {
			l.Report(nil, nil, testNow, m, Report{})
		}
		s.Put(&l, false)
		synctest.Wait()
		r.set(nil, 0)
		time.Sleep(2 * retryFirst)
		if got := r.String(); got != "one\ntwo\nthree\n" {
			t.Errorf("written %q", got)
		}
		end(t, s)
	})
}

// What a sink refuses for good is counted, and holds up nothing.
func TestCountsWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{refuse: "bad"}
		s := start(t, quiet, limits{}, spec(r))
		for _, m := range []string{"one", "bad", "two"} {
			s.give(m, nil)
		}
		synctest.Wait()
		if c := s.list[0].counts(); c != (journal.Counts{Received: 3, Delivered: 2, Lost: 1, Refused: 1}) || r.String() != "one\ntwo\n" {
			t.Errorf("counts %+v, written %q", c, r.String())
		}
		end(t, s)
	})
}

// A sink that hangs at a stop is an error; what it had not taken is there for the next start.
func TestASinkThatHangsAtAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lim := limits{dir: t.TempDir()}
		r := &reader{gate: make(chan struct{})}
		s := start(t, quiet, lim, spec(r))
		for range 5 {
			s.give("a line", nil)
			synctest.Wait()
		}
		began := time.Now()
		err := s.Close(2 * time.Second)
		if took := time.Since(began); !errors.Is(err, ErrUnwritten) || !strings.Contains(err.Error(), "5 events") || took > 2*time.Second+endWithin {
			t.Errorf("after %v: %v", took, err)
		}
		synctest.Wait()
		hung := r
		r = &reader{}
		end(t, start(t, quiet, lim, spec(r)))
		close(hung.gate)
		if got := strings.Count(r.String(), "a line\n"); got != 5 {
			t.Errorf("the next start has %d of 5", got)
		}
	})
}

// A stop tries what failed once more at once, however long the pause before the next try, and holds up nothing if that fails.
func TestStopTriesOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, well := range []bool{true, false} {
			lim := limits{dir: t.TempDir()}
			r := &reader{}
			r.set(errors.New("away"), 0)
			s := start(t, quiet, lim, spec(r))
			s.give("a", nil)
			time.Sleep(20 * retryMost)
			if well {
				r.set(nil, 0)
			}
			began := time.Now()
			if err := s.Close(time.Second); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 0 || (r.String() == "a\n") != well {
				t.Errorf("after %v written %q", took, r.String())
			}
			r.set(nil, 0)
			end(t, start(t, quiet, lim, spec(r)))
			if got := r.String(); got != "a\n" {
				t.Errorf("after the next start written %q", got)
			}
		}
	})
}

// A sink that is away gets all once it is back, in this run or a later one, in order; without a kill nothing comes twice.
func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lim := limits{dir: t.TempDir()}
		r := &reader{}
		r.set(errors.New("away"), 0)
		s := start(t, quiet, lim, spec(r))
		for i := range 10 {
			numbered(s, i*100+1, i*100+100)
			time.Sleep(500 * time.Millisecond)
		}
		if c := s.list[0].counts(); c != (journal.Counts{Received: 1000, Pending: 1000}) {
			t.Errorf("counts %+v", c)
		}
		r.set(nil, 0)
		time.Sleep(2 * retryMost)
		inOrder(t, r, 1, 1000)
		numbered(s, 1001, 1100)
		synctest.Wait()
		inOrder(t, r, 1, 1100)

		r.set(errors.New("away"), 0)
		numbered(s, 1101, 1500)
		if err := s.Close(2 * time.Second); err != nil {
			t.Error(err)
		}
		c := s.list[0].counts()
		adds(t, c)
		if c.Pending != 400 || c.Lost != 0 {
			t.Errorf("counts %+v", c)
		}
		r.set(nil, 0)
		s = start(t, quiet, lim, spec(r))
		numbered(s, 1501, 1600)
		end(t, s)
		if c := s.list[0].counts(); c != (journal.Counts{Received: 500, Delivered: 500}) {
			t.Errorf("counts %+v", c)
		}
		inOrder(t, r, 1, 1600)
		s = start(t, quiet, lim, spec(r))
		end(t, s)
		if c := s.list[0].counts(); c != (journal.Counts{}) {
			t.Errorf("after all was delivered there is %+v", c)
		}
	})
}

// What a sink is not for and came before an event that it could not have does not wait for it at the next start.
func TestFilteredBeforeWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lim := limits{dir: t.TempDir()}
		r := &reader{}
		r.set(errors.New("away"), 0)
		some := func() Spec {
			is := spec(r)
			is.Filter.Agents = []string{"002"}
			return is
		}
		s := start(t, quiet, lim, some())
		var l Lot
		for _, id := range []string{"001", "002", "001", "002"} { // at once, so that they are read together
			l.Event(NewAgent(id, id, "any"), testNow, 1, from, '1', []byte("l"), []byte(id))
		}
		s.Put(&l, false)
		synctest.Wait()
		if err := s.Close(time.Second); err != nil {
			t.Error(err)
		}
		s = start(t, quiet, lim, some())
		if c := s.list[0].counts(); c.Received != 3 {
			t.Errorf("at the next start %+v", c)
		}
		r.set(nil, 0)
		time.Sleep(retryMost)
		end(t, s)
		if got := r.String(); got != "002\n002\n" {
			t.Errorf("got %q", got)
		}
	})
}

// After a kill all that was put is there.
func TestKilledWithABacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		hung := &reader{gate: make(chan struct{})} // as one that never answers
		s := start(t, quiet, limits{dir: dir}, spec(hung))
		numbered(s, 1, 200)
		synctest.Wait()
		copied := t.TempDir() // what a kill would leave
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		close(hung.gate)
		end(t, s)
		inOrder(t, hung, 1, 200)

		r := &reader{}
		end(t, start(t, quiet, limits{dir: copied}, spec(r)))
		inOrder(t, r, 1, 200)
	})
}

// A sink that hangs delays and loses nothing of another one.
func TestASlowSinkSlowsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, fast := &reader{gate: make(chan struct{})}, &reader{}
		slowSpec, fastSpec := spec(slow), spec(fast)
		slowSpec.Queue, fastSpec.Name = 1<<20, "fast"
		s := start(t, quiet, limits{}, slowSpec, fastSpec)
		a := NewAgent("001", "web01", "any")
		const all = 5000
		for i := range all {
			s.give(fmt.Sprintf("line %d %01000d", i, 0), a)
			if i%100 == 0 {
				synctest.Wait()
			}
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if got := strings.Count(fast.String(), "line"); got != all {
			t.Errorf("the fast one has %d of %d", got, all)
		}
		c := s.list[0].counts()
		if c.Received != all || c.Pending+c.Lost != all || c.Lost < 3900 || c.Lost > 4300 {
			t.Errorf("the slow one counts %+v", c)
		}
		lost := c.Lost
		close(slow.gate)
		end(t, s)
		got := slow.String()
		if n := strings.Count(got, "line"); uint64(n) != all-lost || !strings.Contains(got, fmt.Sprintf(`"event":{"action":"events-lost","count":%d,"sink":"test"}}`, lost)) {
			t.Errorf("%d came, %d were lost; the last: %s", n, lost, got[max(0, len(got)-500):])
		}
		if strings.Contains(fast.String(), "events-lost") {
			t.Error("the other sink is told")
		}
	})
}

func TestASinkThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(fmt.Errorf("pipe: %w", ErrGone), 0)
		s := start(t, quiet, limits{}, spec(r))
		s.give("a", nil)
		if err := <-s.Gone(); !errors.Is(err, ErrGone) {
			t.Error(err)
		}
		if err := s.Close(time.Second); !errors.Is(err, ErrUnwritten) {
			t.Error(err)
		}
	})
}

// BenchmarkPut is handing over batches of 32 events to as many sinks, none of which does anything.
func BenchmarkPut(b *testing.B) {
	for _, sinks := range []int{1, 2, 5} {
		b.Run(fmt.Sprint(sinks), func(b *testing.B) {
			var specs []Spec
			for range sinks {
				specs = append(specs, spec(idle{}))
			}
			s := start(b, quiet, limits{}, specs...)
			a := NewAgent("001", "web01", "any")
			location, message := []byte("/var/log/auth.log"), bytes.Repeat([]byte("Failed password "), 12)
			var l Lot
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Event(a, testNow, 1, from, '1', location, message)
				if i%32 == 0 {
					s.Put(&l, true)
					l.Clear()
				}
			}
			if err := s.Close(time.Minute); err != nil {
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
