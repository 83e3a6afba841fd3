//go:build unix

package ossecqueue

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/manager/sink"
	"ossecd/manager/sink/sinktest"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	from  = netip.MustParseAddrPort("10.0.0.7:40112")
)

func TestDatagram(t *testing.T) {
	t.Parallel()
	web, net6 := sink.NewAgent("001", "web01", "any"), sink.NewAgent("002", "net6", "2001:db8::/32")
	tests := []struct {
		name string
		make func(l *sink.Lot)
		want string
		cut  bool
	}{
		{"event", func(l *sink.Lot) { l.Event(web, time.Now(), 1, from, '1', []byte("/var/log/x"), []byte("a: b\nc")) }, "1:(web01) any->/var/log/x:a: b\nc\x00", false},
		{"prefix", func(l *sink.Lot) { l.Event(net6, time.Now(), 1, from, '8', []byte("syscheck"), nil) }, "8:(net6) 2001:db8::->syscheck:\x00", false},
		{"colon and NUL", func(l *sink.Lot) { l.Event(web, time.Now(), 1, from, '1', []byte("C:\\x\x00"), []byte("a\x00b")) }, "1:(web01) any->C_\\x :a b\x00", false},
		{"own", func(l *sink.Lot) {
			l.Report(nil, nil, time.Now(), "ossecd: 3 events lost.", sink.Report{Action: sink.Lost, Number: 3})
		}, "1:ossecd:ossecd: 3 events lost.\x00", false},
		{"just fits", func(l *sink.Lot) { l.Event(web, time.Now(), 1, from, '1', []byte("l"), bytes.Repeat([]byte("x"), 81)) }, "1:(web01) any->l:" + strings.Repeat("x", 81) + "\x00", false},
		{"too long", func(l *sink.Lot) { l.Event(web, time.Now(), 1, from, '1', []byte("l"), bytes.Repeat([]byte("x"), 83)) }, "1:(web01) any->l:" + strings.Repeat("x", 82) + "\x00", true},
	}
	for _, tt := range tests {
		var l sink.Lot
		tt.make(&l)
		var e sink.Event
		events := l.Events()
		events.Next(&e)
		if got, cut := appendDatagram(nil, &e, 100); string(got) != tt.want || cut != tt.cut {
			t.Errorf("%s: got %q, cut %v; want %q", tt.name, got, cut, tt.want)
		}
	}
}

func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// socketPath is one short enough for a socket.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "oq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "queue")
}

func next(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, maxDatagram+1)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b[:n]), "\x00")
}

// A daemon that is away, slow, and restarted gets every event once it is there, in order, within its limit.
func TestQueue(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	const all = 3000 // many times what a socket holds
	h := sinktest.Start(t, sinktest.Journal(t), quiet, sink.Spec{Open: func(context.Context, sink.Env) (sink.Sink, error) { return New(path, quiet), nil }})
	a := sink.NewAgent("001", "web01", "any")
	put := func(message string) {
		var l sink.Lot
		l.Event(a, time.Now(), 1, from, '1', []byte("l"), []byte(message))
		h.Put(&l, false)
	}
	put("before it is there")
	c := listen(t, path)
	if got := next(t, c); got != "1:(web01) any->l:before it is there" {
		t.Errorf("got %q", got)
	}
	for i := range all {
		put(fmt.Sprintf("%d %s", i, strings.Repeat("x", i%200)))
	}
	put(strings.Repeat("y", 10_000))
	time.Sleep(50 * time.Millisecond) // the socket is full
	for i := range all {
		if got, want := next(t, c), fmt.Sprintf("1:(web01) any->l:%d %s", i, strings.Repeat("x", i%200)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if got := next(t, c); len(got) != maxDatagram-1 {
		t.Errorf("a long one has %d bytes", len(got))
	}
	c.Close()
	put("while it is away")
	os.Remove(path)
	c = listen(t, path)
	defer c.Close()
	if got := next(t, c); got != "1:(web01) any->l:while it is away" {
		t.Errorf("got %q", got)
	}
	if err := h.Close(time.Minute); err != nil {
		t.Error(err)
	}
}

// A stop is not held up by a daemon that reads nothing.
// A daemon that was started anew has all events from then on, though the one before still reads its socket.
func TestTheNewDaemon(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	old := listen(t, path)
	defer old.Close()
	q := New(path, quiet)
	defer q.Close()
	put := func(text string) {
		t.Helper()
		var l sink.Lot
		l.Report(nil, nil, time.Now(), text, sink.Report{Action: sink.Lost})
		if r, err := q.Write(t.Context(), l.Events()); err != nil || r.Done != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	put("one")
	if got := next(t, old); !strings.Contains(got, ":one") {
		t.Errorf("got %q", got)
	}
	if err := os.Remove(path); err != nil { // as the stock daemon does it
		t.Fatal(err)
	}
	put("two")
	if got := next(t, old); !strings.Contains(got, ":two") {
		t.Errorf("got %q", got)
	}
	anew := listen(t, path)
	defer anew.Close()
	put("three")
	if got := next(t, anew); !strings.Contains(got, ":three") {
		t.Errorf("got %q", got)
	}
	if got := next(t, old); got != "1:ossec-keepalive:--MARK--: " {
		t.Errorf("the old one got %q, want what wakes it", got)
	}
}

func TestStopWhileTheDaemonHangs(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	defer listen(t, path).Close()
	q := New(path, quiet)
	var l sink.Lot
	for range 10_000 {
		l.Event(sink.NewAgent("001", "web01", "any"), time.Now(), 1, from, '1', []byte("l"), []byte("x"))
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	r, err := q.Write(ctx, l.Events())
	if err == nil || r.Done == 0 || r.Done == 10_000 {
		t.Errorf("%d done, %v", r.Done, err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
