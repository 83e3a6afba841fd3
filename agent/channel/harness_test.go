package channel

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ossecd/agent/outbox"
	"ossecd/agent/spool"
	"ossecd/keys"
	"ossecd/keys/durable/queue"
	"ossecd/keys/testlog"
	"ossecd/proto"
)

const anyKey = "003 dyn2 any f8c75a6e96d28a294cc845cd5bbeca42e206d473715e7364d7fa275193248ec7"

// deaf is a socket to nowhere; onWrite is called for each datagram.
type deaf struct {
	onWrite func()
	closed  chan struct{}
	once    sync.Once
}

func newDeaf(onWrite func()) *deaf { return &deaf{onWrite: onWrite, closed: make(chan struct{})} }

func (d *deaf) Read([]byte) (int, error) {
	<-d.closed
	return 0, net.ErrClosed
}

func (d *deaf) Write(p []byte) (int, error) {
	d.onWrite()
	return len(p), nil
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

func (*deaf) LocalAddr() net.Addr                { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5000} }
func (*deaf) RemoteAddr() net.Addr               { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1514} }
func (*deaf) SetDeadline(time.Time) error        { return nil }
func (*deaf) SetReadDeadline(t time.Time) error  { return nil }
func (*deaf) SetWriteDeadline(t time.Time) error { return nil }

// begun is a conversation over a socket that has begun, and the outbox that it sends from.
func begun(t testing.TB, cfg Config, spooled bool, conn net.Conn) (*Conversation, *outbox.Outbox) {
	t.Helper()
	ch, box := open(t, cfg, spooled, conn)
	conv, err := ch.Dial(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	conv.Open(t.Context(), false)
	conv.Begin(time.Now())
	t.Cleanup(conv.Close)
	return conv.(*Conversation), box
}

// open is a channel whose conversations have this socket, and the outbox that they send from.
func open(t testing.TB, cfg Config, spooled bool, conn net.Conn) (*Channel, *outbox.Outbox) {
	t.Helper()
	log := new(testlog.Buffer).Logger()
	dir := t.TempDir()
	key, err := keys.ParseLine(anyKey)
	if err != nil {
		t.Fatal(err)
	}
	var events *spool.Spool
	if spooled {
		if events, err = spool.Open(queue.Config{Dir: filepath.Join(dir, "spool"), Limit: queue.MinLimit, Log: log}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { events.Close() })
	}
	box := outbox.New(outbox.Config{Spool: events, Readers: 1, ResendMax: 1000, Log: log})
	cfg.Managers, cfg.Key, cfg.Outbox, cfg.Log = []string{"192.0.2.2:1514"}, key, box.Reader(0), log
	cfg.Dial = func(context.Context, int, int) (net.Conn, error) { return conn, nil }
	cfg.NotifyTime, cfg.MaxEvent = time.Hour, proto.MaxMessageOSSEC
	cfg.About = About{Version: "v1", Sums: func() (merged, config string) { return "", "" }}
	if cfg.Method == 0 {
		cfg.Method = proto.Blowfish
	}
	if cfg.Dialect == 0 {
		cfg.Dialect = proto.OSSEC
	}
	counts, err := OpenCounts(dir, filepath.Join(dir, "rids"), key, cfg.Managers, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := counts.Close(); err != nil {
			t.Error(err)
		}
	})
	ch, err := New(cfg, counts, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ch, box
}
