package file

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ossecd/agent/source"
)

// backlogged is an output whose spool is delivered when the test says so.
type backlogged struct {
	*got
	next, delivered atomic.Uint64
	most            int64
}

func (b *backlogged) Emit(ctx context.Context, batch []source.Event) (int, error) {
	n, err := b.got.Emit(ctx, batch)
	b.next.Add(uint64(n))
	return n, err
}

func (b *backlogged) Backlog() (delivered, next uint64, most int64) {
	return b.delivered.Load(), b.next.Load(), b.most
}

// A file that has grown by much waits once that stands in the spool; the lines of others pass, whatever waits.
func TestAhead(t *testing.T) {
	t.Parallel()
	const lines, width = 20_000, 200 // 4 MB
	r := newRig(t, "*.log")
	r.cfg.FromStart = true
	out := &backlogged{got: r.got, most: 1 << 20}
	r.output = out
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "%0*d\n", width-1, i)
	}
	r.append("loud.log", text.String())
	r.append("quiet.log", "0\n")
	r.startOffline()
	r.wait(t, "a full backlog", func() bool { return len(r.lines(r.path("loud.log")))*width >= int(out.most)/2 })
	for i := range 20 {
		r.append("quiet.log", fmt.Sprintln(i+1))
		r.wait(t, "the quiet file", func() bool { return len(r.lines(r.path("quiet.log"))) == i+2 })
	}
	still()
	r.mu.Lock()
	n := len(r.lines(r.path("loud.log")))
	r.mu.Unlock()
	if most := int(out.most+2*chunk) / width; n > most {
		t.Errorf("%d lines of the loud file were given, want at most %d", n, most)
	}
	for done := false; !done; {
		r.wait(t, "more", func() bool {
			n := len(r.events)
			done = n == lines+21
			return uint64(n) > out.delivered.Load() || done
		})
		out.delivered.Store(out.next.Load())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.lines(r.path("loud.log")); len(got) != lines || !slices.IsSorted(got) {
		t.Errorf("%d lines of the loud file, want %d in order", len(got), lines)
	}
}

// What is counted is bounded, and comes to nothing in the end.
func TestAheadCounts(t *testing.T) {
	t.Parallel()
	var a undelivered
	event := []source.Event{{Location: "/x", Message: make([]byte, 82)}} // 100 bytes with what the spool adds
	tails := [2]tail{}
	for i := range 3 * maxParts {
		a.add(&tails[i%2], uint64(i+1), event)
	}
	if len(a.parts) != maxParts || a.bytes != 100*maxParts || tails[0].undelivered != 50*maxParts {
		t.Errorf("%d parts of %d bytes, %d of the first file", len(a.parts), a.bytes, tails[0].undelivered)
	}
	a.settle(3 * maxParts)
	for range 100 {
		a.add(&tails[0], 4*maxParts, event)
	}
	if len(a.parts) != 1 || a.bytes != 10_000 || tails[0].undelivered != 10_000 {
		t.Errorf("%d parts of %d bytes, %d of the file; small batches of one file are one part", len(a.parts), a.bytes, tails[0].undelivered)
	}
	a.settle(5 * maxParts)
	if len(a.parts) != 0 || a.bytes != 0 || tails[0].undelivered != 0 || tails[1].undelivered != 0 {
		t.Errorf("%+v, %d, %d after all was delivered", a, tails[0].undelivered, tails[1].undelivered)
	}
}
