package buffer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent/source"
)

// output keeps what it gets; while closed, Emit waits.
type output struct {
	mu     sync.Mutex
	open   chan struct{}
	events []string
	idles  int
}

func newOutput(open bool) *output {
	o := &output{open: make(chan struct{})}
	if open {
		close(o.open)
	}
	return o
}

func (o *output) Emit(ctx context.Context, batch []source.Event) (int, error) {
	select {
	case <-o.open:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range batch {
		o.events = append(o.events, fmt.Sprintf("%c:%s:%s", e.Queue, e.Location, e.Message))
	}
	return len(batch), nil
}

func (o *output) Idle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idles++
}

func (o *output) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	got := o.events
	o.events = nil
	return got
}

// run runs a buffer in a bubble; the returned function ends it and gives the log.
func run(t *testing.T, size int, out *output) (*Buffer, func() string) {
	var log bytes.Buffer
	b := New("test", size, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, out) }()
	synctest.Wait()
	return b, func() string {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		b.End()
		return log.String()
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newOutput(true)
		b, end := run(t, Size, out)
		if out.idles == 0 {
			t.Error("an empty buffer did not say it is idle")
		}
		message := []byte("0000")
		for i := range 3 * slice {
			copy(message, fmt.Sprintf("%04d", i)) // the bytes are the caller's again
			b.Add('2', fmt.Sprint("host", i%3), message)
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		got := out.take()
		for i, e := range got {
			if want := fmt.Sprintf("2:host%d:%04d", i%3, i); e != want {
				t.Fatalf("event %d is %q, want %q", i, e, want)
			}
		}
		if len(got) != 3*slice {
			t.Errorf("%d events, want %d", len(got), 3*slice)
		}
		if log := end(); log != "" {
			t.Errorf("logged %s", log)
		}
	})
}

// What does not fit is counted exactly, told where it is missing, and logged once a minute.
func TestLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newOutput(false)
		b, end := run(t, 10*charge("a", 1), out)
		for range 25 {
			b.Add('2', "a", []byte("x"))
		}
		time.Sleep(30 * time.Second)
		for range 5 {
			b.Add('2', "a", []byte("x"))
		}
		close(out.open)
		synctest.Wait()
		b.Add('2', "a", []byte("y"))
		synctest.Wait()
		got := out.take()
		told := 0
		for _, e := range got {
			n := 0
			fmt.Sscanf(e, "1:ossecd:ossec: Agent event queue is full: %d events lost (test).", &n)
			told += n
		}
		if told != 20 {
			t.Errorf("the events tell of %d lost, want 20: %q", told, got)
		}
		if first, last := got[9], got[len(got)-1]; first != "2:a:x" || last != "2:a:y" {
			t.Errorf("the tenth is %q and the last %q; want x and y", first, last)
		}
		time.Sleep(time.Minute)
		log := end()
		if strings.Count(log, "count=15") != 1 || strings.Count(log, "count=5") != 1 || strings.Count(log, "events lost") != 2 {
			t.Errorf("want 15 logged within a second and 5 a minute later; got\n%s", log)
		}
	})
}

// A sender that can wait loses nothing.
func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newOutput(false)
		b, end := run(t, 10*charge("a", 4), out)
		var adding sync.WaitGroup
		for i := range 4 {
			adding.Go(func() {
				for j := range 50 {
					if err := b.Wait(t.Context(), '2', "a", fmt.Appendf(nil, "%d %02d", i, j)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		synctest.Wait()
		if got := out.take(); len(got) != 0 {
			t.Errorf("%d events before there was anywhere to send them", len(got))
		}
		close(out.open)
		adding.Wait()
		synctest.Wait()
		last := map[byte]string{}
		got := out.take()
		for _, e := range got {
			if who := e[4]; e <= last[who] {
				t.Errorf("%q after %q", e, last[who])
			} else {
				last[who] = e
			}
		}
		if len(got) != 200 {
			t.Errorf("%d events, want 200", len(got))
		}
		if log := end(); log != "" {
			t.Errorf("logged %s", log)
		}
	})
}

// What waits when the agent ends is counted.
func TestEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newOutput(false)
		b, end := run(t, 10*charge("a", 1), out)
		for range 4 {
			b.Add('2', "a", []byte("x"))
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() { waiting <- b.Wait(ctx, '2', "a", bytes.Repeat([]byte("x"), 1000)) }()
		synctest.Wait()
		cancel()
		if err := <-waiting; err != context.Canceled {
			t.Errorf("Wait: %v", err)
		}
		if log := end(); !strings.Contains(log, "the agent ended") || !strings.Contains(log, "count=5") {
			t.Errorf("want 5 lost at the end; got %s", log)
		}
	})
}

// An event as large as the whole buffer, or larger, still passes.
func TestLargerThanAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newOutput(true)
		b, end := run(t, 100, out)
		b.Add('2', "a", make([]byte, 1000))
		synctest.Wait()
		if got := out.take(); len(got) != 1 {
			t.Errorf("%d events, want 1", len(got))
		}
		end()
	})
}

func BenchmarkAdd(b *testing.B) {
	buf := New("bench", Size, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- buf.Run(ctx, discard{}) }()
	message := bytes.Repeat([]byte("x"), 200)
	b.ReportAllocs()
	for b.Loop() {
		buf.Wait(ctx, '2', "192.0.2.1", message)
	}
	cancel()
	<-done
}

type discard struct{}

func (discard) Emit(_ context.Context, batch []source.Event) (int, error) { return len(batch), nil }
func (discard) Idle()                                                     {}
