package listen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/proto"
)

// echo is a Handler that sends packets back. Some packets are words for it.
type echo struct {
	mu    sync.Mutex
	took  []string
	bad   int
	known map[string]*Stream
}

func (e *echo) Take(s *Stream, packet []byte, _ time.Time) bool {
	text := string(packet)
	if len(text) > 30 {
		text = text[:30]
	}
	e.mu.Lock()
	e.took = append(e.took, text)
	if name, ok := strings.CutPrefix(text, "I am "); ok {
		e.known[name] = s
	}
	e.mu.Unlock()
	switch text {
	case "no":
		return false
	case "keep":
		s.Keep()
	}
	s.WritePacket(packet, netip.AddrPort{}, netip.Addr{})
	return true
}

func (e *echo) Malformed(*Stream, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bad++
}

func (e *echo) Done() {}

func (e *echo) stream(name string) *Stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[name]
}

// serveEcho is Streams on loopback.
func serveEcho(t *testing.T) (*Streams, *echo) {
	t.Helper()
	streams := NewStreams(slog.New(slog.DiscardHandler))
	if err := streams.Open("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e := &echo{known: make(map[string]*Stream)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := streams.Serve(ctx, func() (Handler, error) { return e, nil }); err != nil {
			t.Error(err)
		}
		if n := streams.Len(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return streams, e
}

// client is a connection to Streams.
type client struct {
	t testing.TB
	net.Conn
}

func connect(t testing.TB, streams *Streams) *client {
	t.Helper()
	conn, err := net.Dial("tcp", streams.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, conn}
}

func (c *client) say(packet string) {
	c.t.Helper()
	if _, err := c.Write(proto.AppendPacket(nil, []byte(packet))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear() string {
	c.t.Helper()
	head := make([]byte, proto.PacketHeader)
	if _, err := io.ReadFull(c, head); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	if _, err := io.ReadFull(c, body); err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}

func (c *client) wantEnd() {
	c.t.Helper()
	var timeout net.Error
	if n, err := c.Read(make([]byte, 10)); n > 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("the connection goes on: %d bytes, %v", n, err)
	}
}

// Packets come whole, however they are cut, and several together.
func TestStreamCutAtEveryByte(t *testing.T) {
	t.Parallel()
	streams, _ := serveEcho(t)
	stream := proto.AppendPacket(proto.AppendPacket(nil, []byte("hello")), []byte("x"))
	for cut := range len(stream) {
		c := connect(t, streams)
		c.Write(stream[:cut])
		time.Sleep(time.Millisecond)
		c.Write(stream[cut:])
		if one, two := c.hear(), c.hear(); one != "hello" || two != "x" {
			t.Fatalf("cut at %d: %q, %q", cut, one, two)
		}
		c.Close()
	}
	c := connect(t, streams)
	c.say("keep")
	c.hear()
	long := strings.Repeat("long ", proto.MaxPacket/5)
	var many []byte
	for range 20 {
		many = proto.AppendPacket(many, []byte(long))
	}
	go c.Write(many)
	for i := range 20 {
		if got := c.hear(); got != long {
			t.Fatalf("packet %d has %d bytes, want %d", i, len(got), len(long))
		}
	}
}

// What is no packet, or is not taken, ends its connection.
func TestStreamOfGarbage(t *testing.T) {
	t.Parallel()
	streams, e := serveEcho(t)
	for _, garbage := range []string{"\x00\x00\x00\x00", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "\x01\x00\x01\x00", "\x00\x50\x00\x00", "\x02\x00\x00\x00no"} {
		c := connect(t, streams)
		c.Write([]byte(garbage))
		c.wantEnd()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bad != 5 || len(e.took) != 1 {
		t.Errorf("%d bad, took %q", e.bad, e.took)
	}
}

// A packet longer than a first one can be is taken from a connection that is kept.
func TestLongPacketOfAKeptStream(t *testing.T) {
	t.Parallel()
	streams, _ := serveEcho(t)
	c := connect(t, streams)
	c.say("keep")
	c.hear()
	long := proto.AppendPacket(nil, bytes.Repeat([]byte("a"), maxUnproven+1))
	c.Write(long[:100])
	time.Sleep(10 * time.Millisecond)
	c.Write(long[100:])
	if got := c.hear(); len(got) != maxUnproven+1 {
		t.Errorf("%d bytes came back", len(got))
	}
}

// Connections that begin a packet and go no further hold up nobody.
func TestSlowSendersHoldUpNobody(t *testing.T) {
	t.Parallel()
	streams, _ := serveEcho(t)
	for i := range 100 {
		c := connect(t, streams)
		c.Write([]byte{100, 0, 0, 0, ':', '1'}[:1+i%6])
	}
	c := connect(t, streams)
	began := time.Now()
	for range 100 {
		c.say("hello")
		c.hear()
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// An agent that reads nothing holds up nobody, and has a bounded backlog.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	streams, e := serveEcho(t)
	slow, other := connect(t, streams), connect(t, streams)
	slow.say("I am slow")
	slow.hear()
	s := e.stream("slow")
	packet := make([]byte, 60_000)
	var err error
	for i := 0; err == nil; i++ {
		if i > 1000 {
			t.Fatal("60 MB were taken")
		}
		err = s.WritePacket(packet, netip.AddrPort{}, netip.Addr{})
	}
	if !errors.Is(err, errBacklog) {
		t.Errorf("%v", err)
	}
	other.say("hello")
	if got := other.hear(); got != "hello" {
		t.Errorf("%q", got)
	}
	if got := slow.hear(); len(got) != len(packet) { // and what was taken comes whole
		t.Errorf("%d bytes", len(got))
	}
}

// Connections without a word make room for new ones; those that are kept do not.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	streams, _ := serveEcho(t)
	kept := connect(t, streams)
	kept.say("keep")
	kept.hear()
	first := connect(t, streams)
	first.say("first")
	first.hear()
	second := connect(t, streams)
	second.say("second")
	second.hear()
	for range maxWaitingFrom - 1 {
		connect(t, streams)
	}
	first.wantEnd()
	for _, c := range []*client{kept, second} {
		c.say("still here")
		c.hear()
	}
	if n := streams.Len(); n > maxWaitingFrom+2 {
		t.Errorf("%d connections", n)
	}
}

// All of waiting stays in bounds, whatever addresses come.
func TestWaiting(t *testing.T) {
	t.Parallel()
	w := newWaiting()
	now := time.Now()
	var in []*Stream
	gone := 0
	for i := range 3 * maxWaiting {
		at := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if i%3 == 0 {
			at = netip.MustParseAddr("192.0.2.1")
		}
		s := &Stream{from: netip.AddrPortFrom(at, 1)}
		in = append(in, s)
		if out := w.add(s, now); out != nil {
			gone++
			if out.place != nil {
				t.Fatal("who made room waits still")
			}
		}
		if n := w.all.Len(); n > maxWaiting {
			t.Fatalf("%d wait", n)
		}
		if same := w.from[prefixOf(netip.MustParseAddr("192.0.2.1"))]; same.Len() > maxWaitingFrom {
			t.Fatalf("%d of one address wait", same.Len())
		}
	}
	if gone != len(in)-w.all.Len() {
		t.Errorf("%d made room, %d of %d wait", gone, w.all.Len(), len(in))
	}
	for _, s := range in {
		w.remove(s)
		w.remove(s)
	}
	if w.all.Len() != 0 || len(w.from) != 0 {
		t.Errorf("%d connections and %d addresses are left", w.all.Len(), len(w.from))
	}
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if prefixOf(a) != prefixOf(b) || prefixOf(a) == prefixOf(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("an IPv6 host is not its /64")
	}
}

// What came over a connection before another one took its place is taken, and then it is closed.
func TestReplacedStream(t *testing.T) {
	t.Parallel()
	streams, e := serveEcho(t)
	c := connect(t, streams)
	c.say("I am old")
	c.hear()
	for range 10 {
		c.say("last words")
	}
	s := e.stream("old")
	if !s.Replace() || s.Replace() {
		t.Error("replaced twice, or never")
	}
	for range 10 {
		if got := c.hear(); got != "last words" {
			t.Errorf("%q", got)
		}
	}
	c.wantEnd()
	if err := s.WritePacket([]byte("x"), netip.AddrPort{}, netip.Addr{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, network, address string }{
		{":1514", UDP, ":1514"}, {"udp://:1514", UDP, ":1514"}, {"tcp://[::1]:0", TCP, "[::1]:0"}, {"TCP://x:1", TCP, "x:1"},
		{"nowhere", "", ""}, {"tcp://nowhere", "", ""}, {"http://x:1", "", ""}, {":x", "", ""}, {"tcp://:70000", "", ""},
	} {
		network, address, err := ParseAddress(tt.in)
		if network != tt.network || address != tt.address || (err == nil) != (tt.network != "") {
			t.Errorf("%q: %q, %q, %v", tt.in, network, address, err)
		}
	}
}

// An address in use is named.
func TestStreamsPortInUse(t *testing.T) {
	t.Parallel()
	streams, _ := serveEcho(t)
	address := streams.Addrs()[0].String()
	err := NewStreams(slog.New(slog.DiscardHandler)).Open(address)
	if err == nil || !strings.Contains(err.Error(), "tcp://"+address) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}
