package nats

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ossecd/manager/journal"
	"ossecd/manager/sink"
	"ossecd/manager/sink/sinktest"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	from  = netip.MustParseAddrPort("10.0.0.7:40112")
	at    = time.Date(2026, 11, 22, 15, 24, 33, 651_004_000, time.UTC)
)

// limit bounds every wait.
const limit = time.Minute

// natsServer is a server with JetStream on loopback, which keeps its port and its directory over restarts.
type natsServer struct {
	t    *testing.T
	opts server.Options
	s    *server.Server
}

func newServer(t *testing.T, change func(o *server.Options)) *natsServer {
	t.Helper()
	n := &natsServer{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}}
	if change != nil {
		change(&n.opts)
	}
	n.start()
	n.opts.Port = n.s.Addr().(*net.TCPAddr).Port
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) start() {
	n.t.Helper()
	o := n.opts
	s, err := server.NewServer(&o)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(limit) {
		n.t.Fatal("the NATS server does not start")
	}
	n.s = s
}

func (n *natsServer) stop() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

func (n *natsServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.opts.Port) }

// stream is a view of a stream for the test itself.
func (n *natsServer) stream(name string, o ...nats.Option) jetstream.Stream {
	n.t.Helper()
	nc, err := nats.Connect(n.url(), o...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		n.t.Fatal(err)
	}
	s, err := js.Stream(n.t.Context(), name)
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// messages are all that a stream has.
func messages(t *testing.T, s jetstream.Stream) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// running is such a sink.
type running struct {
	t     *testing.T
	sinks *sink.Sinks
	web   *sink.Agent
}

func run(t *testing.T, o Options, log *slog.Logger) *running {
	t.Helper()
	if o.Subject.texts == nil {
		o.Subject = subject(t, DefaultSubject)
	}
	if o.Origin == "" {
		o.Origin = "M"
	}
	h := sinktest.Start(t, sinktest.Journal(t), log, sink.Spec{Name: "s", Write: WriteSize, Open: func(context.Context, sink.Env) (sink.Sink, error) { return New(o, log) }})
	return &running{t, h, sink.NewAgent("001", "web01", "any")}
}

func (r *running) put(format string, args ...any) {
	var l sink.Lot
	l.Event(r.web, at, 1, from, '1', []byte("l"), fmt.Appendf(nil, format, args...))
	r.sinks.Put(&l, false)
}

// counts are those of the sink.
func (r *running) counts() (counts journal.Counts) {
	for _, c := range r.sinks.Counts() {
		counts = c
	}
	return counts
}

// wait waits until the sink's counts are as f wants them.
func (r *running) wait(f func(c journal.Counts) bool) {
	r.t.Helper()
	for end := time.Now().Add(limit); !f(r.counts()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("counts stay at %+v", r.counts())
		}
	}
}

func (r *running) end() {
	r.t.Helper()
	if err := r.sinks.Close(limit); err != nil {
		r.t.Error(err)
	}
	if c := r.counts(); c.Received != c.Delivered+c.Pending+c.Lost || c.Pending != 0 {
		r.t.Errorf("counts do not add up: %+v", c)
	}
}

func subject(t *testing.T, template string) Subject {
	t.Helper()
	s, err := ParseSubject(template)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
