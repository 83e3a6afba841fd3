package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writer is a reader of events that can be slow, block, or fail.
type writer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	fail  error
	short int // bytes taken before a failure
	gate  chan struct{}
}

func (w *writer) Write(p []byte) (int, error) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		n := min(w.short, len(p))
		w.buf.Write(p[:n])
		return n, w.fail
	}
	return w.buf.Write(p)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func (w *writer) set(fail error, short int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail, w.short = fail, short
}

// give puts one line.
func (o *outlet) give(line []byte, a *agent) {
	l := lot{text: line}
	l.end(a)
	o.put(&l, false)
}

func startOutlet(w io.Writer, limit int) (*outlet, context.CancelFunc) {
	o := newOutlet(w, "test", limit, 100, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	go o.run(ctx)
	return o, stop
}

func TestOutletWritesAllInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{}
		o, stop := startOutlet(w, 64<<20)
		var want strings.Builder
		for i := range 10_000 {
			line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", i%300))
			want.WriteString(line)
			o.give([]byte(line), nil)
		}
		if err := o.close(time.Second, stop); err != nil {
			t.Error(err)
		}
		if w.String() != want.String() {
			t.Error("lines differ from those put in")
		}
	})
}

func TestOutletWritesWithoutClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{}
		o, stop := startOutlet(w, 1000)
		for i := range 3 {
			synctest.Wait()
			o.give([]byte("a\n"), nil)
			synctest.Wait()
			if got := w.String(); got != strings.Repeat("a\n", i+1) {
				t.Errorf("written %q", got)
			}
		}
		if err := o.close(time.Second, stop); err != nil {
			t.Error(err)
		}
	})
}

func TestOutletLosesTheNewestAndSaysHowMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{gate: make(chan struct{})}
		o, stop := startOutlet(w, 26) // the first line and three more
		o.give([]byte("first\n"), nil)
		synctest.Wait() // it is in the writer's hand now, which blocks
		for i := range 10 {
			o.give(fmt.Appendf(nil, "line%d\n", i), nil)
		}
		close(w.gate)
		synctest.Wait()
		got := w.String()
		if !strings.HasPrefix(got, "first\nline0\nline1\nline2\n{") || !strings.Contains(got, `"event":{"action":"events-lost","count":7}}`) {
			t.Errorf("written %q", got)
		}
		if err := o.close(time.Second, stop); err != nil {
			t.Error(err)
		}
	})
}

func TestOutletHoldsAnAgentToItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{gate: make(chan struct{})}
		o := newOutlet(w, "test", 10_000, 50, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		go o.run(ctx)
		flooder, other := &agent{key: mustKey(t, anyLine), json: []byte(`"agent":{"name":"web01"}`)}, &agent{key: mustKey(t, fixedLine)}
		o.give([]byte("first\n"), nil)
		synctest.Wait() // in the writer's hand, which blocks
		flood := []byte(strings.Repeat("f", 99) + "\n")
		for range 1000 {
			o.give(flood, flooder)
		}
		for range 10 {
			o.give([]byte("o\n"), other)
		}
		close(w.gate)
		if err := o.close(time.Second, stop); err != nil {
			t.Error(err)
		}
		got := w.String()
		if f, n := strings.Count(got, "ff\n"), strings.Count(got, "o\n"); f != 50 || n != 10 {
			t.Errorf("%d lines of the agent that floods and %d of the other, want 50 and 10", f, n)
		}
		if !strings.Contains(got, `"agent":{"name":"web01"},`) || !strings.Contains(got, `"event":{"action":"events-lost","count":950}}`) {
			t.Errorf("not reported: %q", got[max(0, len(got)-300):])
		}
	})
}

func TestOutletTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{}
		w.set(errors.New("no space left on device"), 3)
		o, stop := startOutlet(w, 1000)
		o.give([]byte("one line\n"), nil)
		synctest.Wait()
		w.set(nil, 0)
		time.Sleep(time.Second)
		if err := o.close(time.Second, stop); err != nil {
			t.Error(err)
		}
		if got := w.String(); got != "one line\n" {
			t.Errorf("written %q", got)
		}
	})
}

func TestOutletCountsWhatAStopLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{gate: make(chan struct{})}
		o, stop := startOutlet(w, 1000)
		for range 5 {
			o.give([]byte("a line\n"), nil)
			synctest.Wait()
		}
		began := time.Now()
		err := o.close(2*time.Second, stop)
		if !errors.Is(err, errUnwritten) || !strings.Contains(err.Error(), "5 events") || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(w.gate)
	})
}
