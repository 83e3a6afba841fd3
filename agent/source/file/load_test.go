package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/agent/source"
)

var errRefused = errors.New("refused")

type refusing struct{ *got }

func (refusing) Emit(context.Context, []source.Event) (int, error) { return 0, errRefused }

// numbers writes lines 0, 1, … with a rotation after every so many, of which the first is delivered by then: so
// the source has seen the file.
func numbers(r *rig, name string, lines, every int, rotate func(n int)) {
	f, err := os.OpenFile(r.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	r.must(err)
	for i := range lines {
		fmt.Fprintf(f, "%d\n", i)
		if every > 0 && i%every == every-1 {
			first := strconv.Itoa(i / every * every)
			r.wait(r.t, "line "+first, func() bool { return r.seen[first] > 0 })
			rotate(i / every)
			f2, err := os.OpenFile(r.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			r.must(err)
			f.Close()
			f = f2
		}
	}
	r.must(f.Close())
}

func TestRotationUnderWriter(t *testing.T) {
	t.Parallel()
	const lines = 20000
	r := newRig(t, "app.log*")
	r.start()
	numbers(r, "app.log", lines, 1000, func(n int) { r.rename("app.log", fmt.Sprintf("app.log.%d", n)) })
	r.wait(t, "all lines", func() bool { return len(r.events) >= lines })
	still()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.events {
		if e.text != strconv.Itoa(i) || e.location != r.path("app.log") {
			t.Fatalf("event %d is %q of %q", i, e.text, e.location)
		}
	}
	if len(r.events) != lines {
		t.Errorf("%d events, want %d", len(r.events), lines)
	}
}

// TestKilled takes the positions file of an earlier moment again and again, as kill -9 would leave it, while
// lines are written and the file is rotated. Nothing may be missing, and each file is first read in its order.
func TestKilled(t *testing.T) {
	t.Parallel()
	const lines, every = 20000, 2000
	r := newRig(t, "app.log*")
	r.start()
	var wg sync.WaitGroup
	wg.Go(func() {
		numbers(r, "app.log", lines, every, func(n int) { r.rename("app.log", fmt.Sprintf("app.log.%d", n)) })
	})
	for range 8 {
		time.Sleep(20 * time.Millisecond)
		old, err := os.ReadFile(r.cfg.Positions)
		r.must(err)
		time.Sleep(20 * time.Millisecond)
		r.stop()
		r.must(os.WriteFile(r.cfg.Positions, old, 0o600))
		r.startOffline()
	}
	wg.Wait()
	r.wait(t, "all lines", func() bool { return len(r.seen) == lines })
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("%d of %d lines repeated", len(r.events)-lines, lines)
	next := make(map[int]int) // per file, for a file that no save knew of is met under its rotated name
	for _, e := range r.events {
		i, err := strconv.Atoi(e.text)
		if err != nil || i%every > next[i/every] {
			t.Fatalf("%q after line %d of file %d", e.text, next[i/every]-1, i/every)
		}
		next[i/every] = max(next[i/every], i%every+1)
	}
}

func TestManyFiles(t *testing.T) {
	t.Parallel()
	const files, lines = 1000, 20
	r := newRig(t, "d*/*.log")
	r.must(os.Mkdir(r.path("d0"), 0o755))
	for i := range files / 2 {
		r.append(fmt.Sprintf("d0/%d.log", i), "old\n")
	}
	r.start()
	r.must(os.Mkdir(r.path("d1"), 0o755))
	for n := range lines {
		for i := range files {
			r.append(fmt.Sprintf("d%d/%d.log", i*2/files, i), fmt.Sprintln(n))
		}
	}
	r.wait(t, "all lines", func() bool { return len(r.events) >= files*lines })
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]int)
	for _, e := range r.events {
		if e.text != strconv.Itoa(next[e.location]) {
			t.Fatalf("%s: %q, want %d", e.location, e.text, next[e.location])
		}
		next[e.location]++
	}
	if len(next) != files {
		t.Errorf("%d files, want %d", len(next), files)
	}
}

// TestTurns has one file with a long backlog and one with a short one.
func TestTurns(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.FromStart = true
	r.append("a.log", strings.Repeat(strings.Repeat("a", 199)+"\n", 20000))
	r.append("b.log", "b\n")
	r.start()
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.lines(""), "b"); i < 0 || i > maxBatch {
		t.Errorf("the short file waited for %d events of the long one", i)
	}
	if len(r.events) != 20001 {
		t.Errorf("%d events, want 20001", len(r.events))
	}
}

// null takes everything at once, and tells when n events have come.
type null struct {
	n    int
	done chan struct{}
}

func (o *null) Emit(ctx context.Context, batch []source.Event) (int, error) {
	if o.n -= len(batch); o.n <= 0 {
		select {
		case o.done <- struct{}{}:
		default:
		}
	}
	return len(batch), ctx.Err()
}

func (*null) Idle() {}

func BenchmarkFollow(b *testing.B) {
	const lines = 100_000
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte(strings.Repeat(strings.Repeat("x", 199)+"\n", lines)), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(200 * lines)
	b.ReportAllocs()
	for b.Loop() {
		os.Remove(filepath.Join(dir, "p"))
		s, err := New(Config{Globs: []string{filepath.Join(dir, "a.log")}, FromStart: true, Positions: filepath.Join(dir, "p"),
			MaxEvent: 6016, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		out := &null{n: lines, done: make(chan struct{}, 1)}
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx, out) }()
		<-out.done
		cancel()
		<-end
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lines), "ns/line")
}

func BenchmarkSplit(b *testing.B) {
	data := []byte(strings.Repeat(strings.Repeat("x", 199)+"\n", 327))
	var ba batch
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		ba.reset()
		ba.split(form{}, "/var/log/a.log", data, mark{}, 6000)
	}
}

// lastOf counts events and keeps the last one of each location.
type lastOf struct {
	*got
	last map[string]string
	n    int
}

func (o *lastOf) Emit(ctx context.Context, batch []source.Event) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range batch {
		o.last[e.Location] = string(e.Message)
	}
	o.n += len(batch)
	o.changed()
	return len(batch), ctx.Err()
}

// A line of 64 MB, which a sparse file has for nothing, comes in pieces; nothing has to hold it.
func TestHugeLine(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	r := newRig(t, "*.log")
	out := &lastOf{got: r.got, last: map[string]string{}}
	r.output = out
	r.append("a.log", "")
	r.start()
	r.append("huge.log", "")
	r.must(os.Truncate(r.path("huge.log"), size))
	r.append("a.log", "beside\n")
	r.wait(t, "the line beside it", func() bool { return out.last[r.path("a.log")] == "beside" })
	r.append("huge.log", "end\nnext\n")
	r.wait(t, "the line after it", func() bool { return out.last[r.path("huge.log")] == "next" })
	if least := size / r.cfg.MaxEvent; out.n < least {
		t.Errorf("%d events, want at least %d", out.n, least)
	}
}
