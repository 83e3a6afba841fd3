// Other systems refuse datagrams of these sizes and rates where Linux has their writer wait.

package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

// output is a source.Output that keeps what it gets; while gate is not nil, Emit waits for it to be closed.
type output struct {
	mu     sync.Mutex
	gate   chan struct{}
	events []string
}

func (o *output) Emit(ctx context.Context, batch []source.Event) (int, error) {
	if o.gate != nil {
		select {
		case <-o.gate:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range batch {
		o.events = append(o.events, fmt.Sprintf("%c:%s:%s", e.Queue, e.Location, e.Message))
	}
	return len(batch), ctx.Err()
}

func (o *output) Idle() {}

// wait waits for n events and returns them.
func (o *output) wait(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		got := slices.Clone(o.events)
		o.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%d events, want %d", len(got), n)
		}
	}
}

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start runs a source until its socket is there; stop ends it and returns its log.
func start(t *testing.T, cfg Config, out *output) (stop func() string) {
	t.Helper()
	var log bytes.Buffer
	cfg.MaxEvent, cfg.Log = 6016, slog.New(slog.NewTextHandler(&log, nil))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
		if c, err := net.Dial("unixgram", cfg.Path); err == nil {
			c.Close()
			if info, err := os.Stat(cfg.Path); err == nil && info.Mode().Perm() == 0o660 {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("no socket")
		}
	}
	stop = sync.OnceValue(func() string {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		return log.String()
	})
	t.Cleanup(func() { stop() })
	return stop
}

// write writes datagrams as one collector.
func write(t *testing.T, path string, datagrams ...string) {
	t.Helper()
	c, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if _, err := c.Write([]byte(d)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPassesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "queue")
	out := &output{}
	stop := start(t, Config{Path: path}, out)
	write(t, path, "1:/var/log/x:one\x00", "garbage", "8:syscheck:a:b", "#!-agent startup ", "9:rootcheck:"+strings.Repeat("x", 7000))
	got := out.wait(t, 3)
	want := []string{"1:/var/log/x:one", "8:syscheck:a:b", "9:rootcheck:" + strings.Repeat("x", 6016-len("9:rootcheck:"))}
	if !slices.Equal(got, want) {
		t.Errorf("got %.300q", got)
	}
	log := stop()
	if !strings.Contains(log, "not QUEUE:LOCATION:MESSAGE") || !strings.Contains(log, "were cut") {
		t.Errorf("log: %s", log)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A collector is never held up for long; what was lost is told exactly.
func TestOverflow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "queue")
	out := &output{gate: make(chan struct{})}
	stop := start(t, Config{Path: path}, out)
	c, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 5000
	long := strings.Repeat("x", 2000)
	for i := range n { // a write waits where the system's queue is full
		if _, err := fmt.Fprintf(c, "1:/var/log/x:%06d %s", i, long); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // what the system holds is read
	close(out.gate)
	fmt.Fprint(c, "1:/var/log/x:last")
	var passed, lost int
	for end := time.Now().Add(deadline); passed+lost < n+1; time.Sleep(time.Millisecond) {
		passed, lost = 0, 0
		for _, e := range out.wait(t, 1) {
			var k int
			if _, err := fmt.Sscanf(e, "1:ossecd:ossec: Agent event queue is full: %d events lost", &k); err == nil {
				lost += k
			} else {
				passed++
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%d passed and %d lost, want %d together", passed, lost, n+1)
		}
	}
	if passed+lost != n+1 || lost == 0 {
		t.Errorf("%d passed and %d lost, want %d together, and some lost", passed, lost, n+1)
	}
	if log := stop(); !strings.Contains(log, "events lost") {
		t.Errorf("log: %s", log)
	}
}

func TestStaleSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "queue")
	old, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	old.Close() // leaves its file
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	out := &output{}
	start(t, Config{Path: path}, out)
	write(t, path, "1:a:b")
	out.wait(t, 1)
}

func TestLiveSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "queue")
	out := &output{}
	start(t, Config{Path: path}, out)
	s, err := New(Config{Path: path, MaxEvent: 6016, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), &output{})
	holder := fmt.Sprintf("process %d ", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), "in use by "+holder) {
		t.Errorf("Run: %v, want it to name %s", err, holder)
	}
	write(t, path, "1:a:b") // the first one lives on
	out.wait(t, 1)
}

func TestNoSocket(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{path: "is not a socket", filepath.Join(dir, "none", "queue"): "its directory"} {
		s, err := New(Config{Path: path, MaxEvent: 6016, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), &output{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", path, err, want)
		}
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
}

// Another process that takes the socket has the collectors from then on. Where that is a stock agent's, it is the agent now.
func TestTakenSocket(t *testing.T) {
	t.Parallel()
	for _, standIn := range []bool{false, true} {
		path := filepath.Join(shortDir(t), "queue")
		s, err := New(Config{Path: path, MaxEvent: 6016, StandIn: standIn, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		done, out := make(chan error, 1), &output{}
		go func() { done <- s.Run(t.Context(), out) }()
		for end := time.Now().Add(deadline); InUse(path) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("no socket")
			}
		}
		other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + "2", Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := os.Rename(path+"2", path); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "in use by another process") || errors.As(err, new(source.Fatal)) != standIn {
				t.Errorf("stands in: %v: ended with %v", standIn, err)
			}
		case <-time.After(deadline):
			t.Errorf("stands in: %v: it was not noticed", standIn)
		}
	}
}

// Another's socket in place of ours is not removed at the end.
func TestReplacedSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "queue")
	stop := start(t, Config{Path: path}, &output{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stop()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other socket is gone: %v", err)
	}
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "path: none given", "/" + strings.Repeat("x", maxPath): "path: "} {
		if _, err := New(Config{Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", path, err, want)
		}
	}
}
