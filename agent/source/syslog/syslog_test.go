package syslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
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
			t.Fatalf("%d events, want %d: %.1000q", len(got), n, got)
		}
	}
}

// start runs a source; stop ends it and returns its log.
func start(t *testing.T, cfg Config, out *output) (addr string, stop func() string) {
	t.Helper()
	var log bytes.Buffer
	cfg.Log, cfg.MaxEvent = slog.New(slog.NewTextHandler(&log, nil)), 6016
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	at := make(chan net.Addr, 2)
	s.ready = func(a net.Addr) { at <- a }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	select {
	case a := <-at:
		addr = a.String()
	case err := <-done:
		t.Fatal(err)
	}
	stop = sync.OnceValue(func() string {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		return log.String()
	})
	t.Cleanup(func() { stop() })
	return addr, stop
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestUDP(t *testing.T) {
	t.Parallel()
	out := &output{}
	addr, stop := start(t, Config{}, out)
	c := dial(t, "udp", addr)
	long := strings.Repeat("x", 7000)
	for i, m := range []string{"<13>Nov 23 09:42:24 vm sshd: one\n", "", "\n", "two\nlines\x00", "<13>" + long} {
		fmt.Fprint(c, m)
		if i != 1 && i != 2 {
			out.wait(t, max(1, i-1)) // one at a time, so that the socket's buffer need not hold them
		}
	}
	got := out.wait(t, 4)
	room := 6016 - len("2:127.0.0.1:")
	want := []string{"2:127.0.0.1:Nov 23 09:42:24 vm sshd: one", "2:127.0.0.1:two\nlines", "2:127.0.0.1:" + long[:room], "2:127.0.0.1:" + long[room:]}
	if !slices.Equal(got, want) {
		t.Errorf("got %.300q", got)
	}
	if log := stop(); !strings.Contains(log, "messages were split") {
		t.Errorf("log: %s", log)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	out := &output{}
	addr, stop := start(t, Config{Protocols: []string{"tcp"}, Location: "gate"}, out)
	c := dial(t, "tcp", addr)
	fmt.Fprint(c, "<13>one\n7 <13>two<13>thr")
	c.(*net.TCPConn).CloseWrite()
	if got, want := out.wait(t, 3), []string{"2:gate:one", "2:gate:two", "2:gate:thr"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the connection was not closed: %d, %v", n, err)
	}

	bad := dial(t, "tcp", addr)
	fmt.Fprint(bad, "99999 <13>x")
	if _, err := bad.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that announces too long a message was kept")
	}
	if log := stop(); !strings.Contains(log, "announced that is too long") {
		t.Errorf("log: %s", log)
	}
}

// A sender by TCP waits; nothing is lost, and the agent's end is not held up by it.
func TestTCPWaits(t *testing.T) {
	t.Parallel()
	out := &output{gate: make(chan struct{})}
	addr, stop := start(t, Config{Protocols: []string{"tcp"}}, out)
	c := dial(t, "tcp", addr)
	const n = 10_000
	go func() {
		line := strings.Repeat("x", 1000)
		for i := range n {
			fmt.Fprintf(c, "<13>%06d %s\n", i, line)
		}
	}()
	time.Sleep(50 * time.Millisecond)
	close(out.gate)
	for i, m := range out.wait(t, n) {
		if want := fmt.Sprintf("2:127.0.0.1:%06d x", i); !strings.HasPrefix(m, want) {
			t.Fatalf("message %d is %.40q", i, m)
		}
	}
	if log := stop(); strings.Contains(log, "lost") {
		t.Errorf("log: %s", log)
	}
}

func TestNotAllowed(t *testing.T) {
	t.Parallel()
	out := &output{}
	addr, stop := start(t, Config{Protocols: []string{"tcp", "udp"}, Allow: []string{"192.0.2.0/24", "2001:db8::1"}}, out)
	u := dial(t, "udp", addr)
	fmt.Fprint(u, "<13>x")
	c := dial(t, "tcp", addr)
	fmt.Fprint(c, "<13>x\n")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection from elsewhere was kept")
	}
	time.Sleep(20 * time.Millisecond)
	if log := stop(); !strings.Contains(log, "not allowed") || !strings.Contains(log, "last=127.0.0.1") || len(out.events) != 0 {
		t.Errorf("%d events, log: %s", len(out.events), log)
	}
}

// Who is denied is not heard, though allow has its network.
func TestDenied(t *testing.T) {
	t.Parallel()
	out := &output{}
	addr, stop := start(t, Config{Protocols: []string{"tcp", "udp"}, Allow: []string{"127.0.0.0/8"}, Deny: []string{"127.0.0.1"}}, out)
	fmt.Fprint(dial(t, "udp", addr), "<13>x")
	c := dial(t, "tcp", addr)
	fmt.Fprint(c, "<13>x\n")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection of a sender in deny was kept")
	}
	time.Sleep(20 * time.Millisecond)
	if log := stop(); !strings.Contains(log, "not allowed") || len(out.events) != 0 {
		t.Errorf("%d events, log: %s", len(out.events), log)
	}
}

func TestManyConnections(t *testing.T) {
	t.Parallel()
	out := &output{}
	addr, stop := start(t, Config{Protocols: []string{"tcp"}}, out)
	for i := range maxConns {
		fmt.Fprintf(dial(t, "tcp", addr), "<13>%d\n", i)
	}
	out.wait(t, maxConns)
	extra := dial(t, "tcp", addr)
	extra.SetReadDeadline(time.Now().Add(deadline))
	if _, err := extra.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("one connection too many was kept: %v", err)
	}
	if log := stop(); !strings.Contains(log, "there are 256 already") {
		t.Errorf("log: %s", log)
	}
}

func TestIdleConnection(t *testing.T) {
	t.Parallel()
	addr, stop := start(t, Config{Protocols: []string{"tcp"}, IdleTimeout: time.Second}, &output{})
	c := dial(t, "tcp", addr)
	c.SetReadDeadline(time.Now().Add(deadline))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v, want the end of the connection", err)
	}
	if log := stop(); !strings.Contains(log, "silent syslog connection") {
		t.Errorf("log: %s", log)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	addr, _ := start(t, Config{}, &output{})
	s, err := New(Config{Listen: addr, MaxEvent: 6016, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &output{}); err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("Run: %v, want an error that names %s and the remedy", err, addr)
	}
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"nothing", Config{}, `allow: none given, and ":514"`},
		{"no port", Config{Listen: "127.0.0.1"}, `listen: "127.0.0.1"`},
		{"a name", Config{Listen: "localhost:5140"}, "listen: "},
		{"a port too high", Config{Listen: "127.0.0.1:99999"}, "listen: "},
		{"protocol", Config{Listen: "127.0.0.1:0", Protocols: []string{"tls"}}, `protocols: "tls"`},
		{"block", Config{Listen: "127.0.0.1:0", Allow: []string{"10.0.0.0/33"}}, `allow: "10.0.0.0/33"`},
		{"a denied block", Config{Listen: "127.0.0.1:0", Deny: []string{"10.0.0.0/33"}}, `deny: "10.0.0.0/33"`},
		{"a protocol twice", Config{Listen: "127.0.0.1:0", Protocols: []string{"udp", "udp"}}, `protocols: "udp"`},
		{"idle without connections", Config{Listen: "127.0.0.1:0", IdleTimeout: time.Minute}, `idle_timeout: goes with protocols`},
		{"to all", Config{Listen: ":5140"}, "allow: none given"},
		{"to the network", Config{Listen: "192.0.2.1:5140"}, "allow: none given"},
		{"idle", Config{Listen: "127.0.0.1:0", IdleTimeout: time.Millisecond}, "idle_timeout: 1ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
	for _, listen := range []string{"127.0.0.1:5140", "[::1]:5140"} {
		if _, err := New(Config{Listen: listen}); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
}
