package outbox

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"ossecd/agent/source"
	"ossecd/agent/spool"
	"ossecd/keys/durable/queue"
	"ossecd/keys/testlog"
)

// lines makes a batch of n events, numbered from first on.
func lines(first, n int) []source.Event {
	var b []source.Event
	for i := range n {
		b = append(b, source.Event{Queue: '1', Location: "/var/log/test", Message: fmt.Appendf(nil, "line %d", first+i)})
	}
	return b
}

// newBox makes an outbox with a spool and one reader.
func newBox(t *testing.T, resendMax int) (*Outbox, *Reader, *spool.Spool) {
	t.Helper()
	log := new(testlog.Buffer).Logger()
	s, err := spool.Open(queue.Config{Dir: filepath.Join(t.TempDir(), "spool"), Limit: queue.MinLimit, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	box := New(Config{Spool: s, Readers: 1, ResendMax: resendMax, Log: log})
	return box, box.Reader(0), s
}

// send sends what comes next, with counts from count on, until there is no more or n were sent; it returns the first and the last line.
func send(t *testing.T, r *Reader, count uint64, n int) string {
	t.Helper()
	first, last := "", ""
	for range n {
		e := r.Next()
		if e == nil {
			break
		}
		if last = string(e.Message[len("line "):]); first == "" {
			first = last
		}
		r.Sent(count)
		count++
	}
	return first + "-" + last
}

// What has not arrived comes again, and only that.
func TestReader(t *testing.T) {
	t.Parallel()
	box, r, _ := newBox(t, 100)
	out := box.Output("test", 0)
	if n, err := out.Emit(t.Context(), lines(0, 20)); n != 20 || err != nil {
		t.Fatal(n, err)
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	want("at first", send(t, r, 100, 10), "0-9")
	r.Arrived(103)
	if oldest, ok := r.Oldest(); oldest != 104 || !ok {
		t.Errorf("the oldest is %d, %t", oldest, ok)
	}
	r.Unsent(108)
	want("unsent", send(t, r, 200, 1), "8-8")
	r.Next() // 9
	r.Drop()
	r.Arrived(99)
	if n := r.Rewind(); n != 6 {
		t.Errorf("%d come again", n)
	}
	want("again", send(t, r, 300, 100), "4-19")
	r.Arrived(315)
	if _, ok := r.Oldest(); ok || r.Next() != nil || r.Rewind() != 0 {
		t.Error("something is left")
	}
}

// What was dropped does not come again once all before it has arrived.
func TestDropped(t *testing.T) {
	t.Parallel()
	box, r, _ := newBox(t, 100)
	if _, err := box.Output("test", 0).Emit(t.Context(), lines(0, 4)); err != nil {
		t.Fatal(err)
	}
	r.Next()
	r.Drop()
	send(t, r, 1, 1)
	r.Next()
	r.Drop()
	r.Unsent(2) // none
	if got := send(t, r, 2, 1); got != "3-3" {
		t.Errorf("%s was sent, want 3", got)
	}
	r.Unsent(1)
	if got := send(t, r, 5, 10); got != "1-3" {
		t.Errorf("%s was sent, want 1-3", got)
	}
	r.Rewind()
	if got := send(t, r, 10, 10); got != "1-3" {
		t.Errorf("%s came again, want 1-3", got)
	}
}

// At most so many are sent again.
func TestRewindMost(t *testing.T) {
	t.Parallel()
	box, r, _ := newBox(t, 3)
	if _, err := box.Output("test", 0).Emit(t.Context(), lines(0, 10)); err != nil {
		t.Fatal(err)
	}
	send(t, r, 1, 8)
	r.Next()
	if n := r.Rewind(); n != 3 {
		t.Errorf("%d come again", n)
	}
	if got := send(t, r, 20, 10); got != "5-9" {
		t.Errorf("%s came", got)
	}
}

// Where the spool cannot be written, events go straight to the reader.
func TestABrokenSpool(t *testing.T) {
	t.Parallel()
	box, r, queue := newBox(t, 100)
	if err := queue.Close(); err != nil {
		t.Fatal(err)
	}
	o := box.Output("test", 0)
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := o.Emit(t.Context(), lines(0, 2))
		done <- result{n, err}
	}()
	r.Take(<-r.Handed())
	if r.Kept() {
		t.Error("a batch that was handed over would come again")
	}
	if got := send(t, r, 1, 10); got != "0-1" {
		t.Errorf("%s was sent", got)
	}
	if got := <-done; got.n != 2 || got.err != nil {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := o.Emit(ctx, lines(0, 1)); n != 0 || err == nil {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestShareCounts(t *testing.T) {
	t.Parallel()
	s := share{most: 1000}
	batch := lines(0, 100)
	n := s.fits(batch)
	if n == 0 || n == 100 {
		t.Fatalf("%d fit", n)
	}
	s.add(batch[:n/2], 10)
	s.add(batch[n/2:n], 20)
	if got := s.fits(batch); got != 0 {
		t.Errorf("%d more fit", got)
	}
	s.settle(9)
	if got := s.fits(batch); got != 0 {
		t.Errorf("%d fit, before any was delivered", got)
	}
	s.settle(20)
	if got := s.fits(batch); got != n || s.held != 0 || len(s.parts) != 0 {
		t.Errorf("%d fit, want %d again; %+v", got, n, s)
	}
	huge := []source.Event{{Message: make([]byte, 5000)}}
	if s.fits(huge) != 1 {
		t.Error("an event above the share never fits")
	}
	s.add(huge, 30)
	if s.fits(batch) != 0 {
		t.Error("more fits beside an event above the share")
	}
	for range 10_000 {
		s.add(batch[:1], 40)
	}
	if len(s.parts) > 10_000*int(weight(&batch[0]))/(1000/shareParts)+2 {
		t.Errorf("%d parts", len(s.parts))
	}
}
