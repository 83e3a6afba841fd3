package file

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/agent/source"
)

const deadline = 20 * time.Second // of every wait; none should come near it

var testPace = pace{
	poll: 50 * time.Millisecond, slow: 3, quick: 5 * time.Millisecond,
	settle: 100 * time.Millisecond, linger: 250 * time.Millisecond, rename: time.Second,
	delivery: 5 * time.Millisecond, save: 5 * time.Millisecond,
}

// got collects events. It is an Output.
type got struct {
	mu     sync.Mutex
	events []event
	seen   map[string]int // how often each text came
	idles  int
	change chan struct{} // closed and replaced at every change
	gate   chan struct{} // while not nil, Emit waits for it to be closed
}

type event struct{ location, text string }

func newGot() *got { return &got{change: make(chan struct{}), seen: make(map[string]int)} }

func (g *got) Emit(ctx context.Context, batch []source.Event) (int, error) {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range batch {
		if e.Queue != '1' {
			panic(fmt.Sprintf("queue %q", e.Queue))
		}
		g.events = append(g.events, event{e.Location, string(e.Message)})
		g.seen[string(e.Message)]++
	}
	g.changed()
	return len(batch), nil
}

func (g *got) Idle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idles++
	g.changed()
}

func (g *got) changed() {
	close(g.change)
	g.change = make(chan struct{})
}

// wait waits until cond, called with the lock held, is true.
func (g *got) wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	late := time.After(deadline)
	for {
		g.mu.Lock()
		ok, change, n := cond(), g.change, len(g.events)
		g.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-change:
		case <-late:
			g.mu.Lock()
			defer g.mu.Unlock()
			t.Fatalf("%s: not so after %v; %d events, the last ones %q", what, deadline, n, g.events[max(0, n-10):])
		}
	}
}

// lines gives the texts of a location, or of all for "".
func (g *got) lines(location string) []string {
	var l []string
	for _, e := range g.events {
		if location == "" || e.location == location {
			l = append(l, e.text)
		}
	}
	return l
}

// want waits for exactly these lines of a location.
func (g *got) want(t *testing.T, location string, want ...string) {
	t.Helper()
	g.wait(t, fmt.Sprintf("%d lines", len(want)), func() bool { return len(g.lines(location)) >= len(want) })
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.lines(location); !slices.Equal(l, want) {
		t.Fatalf("lines of %q:\n got %q\nwant %q", location, l, want)
	}
}

// still lets a few polls pass, so that what should not come would have come.
func still() { time.Sleep(3 * testPace.poll) }

// logs is a log that can be searched.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *logs) wait(t *testing.T, text string) { t.Helper(); l.waitFor(t, text, 1) }

// waitFor waits until text was logged so many times.
func (l *logs) waitFor(t *testing.T, text string, times int) {
	t.Helper()
	for start := time.Now(); l.count(text) < times; time.Sleep(time.Millisecond) {
		if time.Since(start) > deadline {
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("log lacks %q:\n%s", text, l.b.String())
		}
	}
}

// rig is a directory of logs and a source that follows it.
type rig struct {
	*got
	log    logs
	t      *testing.T
	dir    string
	cfg    Config
	pace   pace
	output source.Output // of the source; default: got
	stop   func()        // ends the source and waits; may be called again
}

// newRig makes the rig; its source does not run yet. Globs are relative to its directory.
func newRig(t *testing.T, globs ...string) *rig {
	t.Helper()
	r := &rig{got: newGot(), t: t, dir: t.TempDir(), pace: testPace, stop: func() {}}
	for i := range globs {
		globs[i] = r.path(globs[i])
	}
	r.cfg = Config{Globs: globs, Positions: filepath.Join(t.TempDir(), "positions.json"), MaxEvent: 6016,
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("log:\n%s", r.log.b.String())
		}
	})
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// start runs the source until it has done its first scan and read everything.
func (r *rig) start() {
	r.t.Helper()
	r.mu.Lock()
	n := r.idles
	r.mu.Unlock()
	r.startOffline()
	r.wait(r.t, "idle", func() bool { return r.idles > n })
}

// startOffline runs the source; it may not come to its end.
func (r *rig) startOffline() {
	r.t.Helper()
	s, err := New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	s.settings.pace = r.pace
	out := r.output
	if out == nil {
		out = r.got
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
}

func (r *rig) append(name, text string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	r.must(err)
	_, err = f.WriteString(text)
	r.must(err)
	r.must(f.Close())
}

func (r *rig) rename(from, to string) { r.t.Helper(); r.must(os.Rename(r.path(from), r.path(to))) }

func (r *rig) must(err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatal(err)
	}
}
