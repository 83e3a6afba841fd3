//go:build unix

package sink_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsclient "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ossecd/manager/journal"
	"ossecd/manager/sink"
	"ossecd/manager/sink/file"
	"ossecd/manager/sink/nats"
	"ossecd/manager/sink/ossecqueue"
	"ossecd/manager/sink/sinktest"
	"ossecd/manager/sink/syslog"
	"ossecd/manager/sink/webclient"
	"ossecd/manager/sink/webhook"
)

// peer is the other side of a sink, which a test takes away, brings back, and slows down.
type peer interface {
	up()
	down()
	slow(yes bool)
	came() map[string]int // how often each event
}

// taken is what peers took, by the last word of each.
type taken struct {
	mu   sync.Mutex
	n    map[string]int
	wait time.Duration // before each
}

func (c *taken) take(text string) {
	c.mu.Lock()
	word := text[strings.LastIndexByte(text, ' ')+1:]
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[word]++
	wait := c.wait
	c.mu.Unlock()
	time.Sleep(wait)
}

func (c *taken) slow(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait = 0; yes {
		c.wait = 5 * time.Millisecond
	}
}

func (c *taken) came() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]int)
	for word, n := range c.n {
		all[word] = n
	}
	return all
}

// tcpPeer is a syslog server.
type tcpPeer struct {
	taken
	t       *testing.T
	address string
	l       net.Listener
	running sync.WaitGroup
	conns   []net.Conn
}

func (p *tcpPeer) up() {
	address := p.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.l, p.address = l, l.Addr().String()
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			p.running.Go(func() { p.read(c) })
		}
	})
}

func (p *tcpPeer) read(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		size, err := r.ReadString(' ')
		n, _ := strconv.Atoi(strings.TrimSpace(size))
		text := make([]byte, n)
		if err != nil {
			return
		}
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		p.take(string(text))
	}
}

func (p *tcpPeer) down() {
	p.l.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}

// unixPeer is an analysis daemon.
type unixPeer struct {
	taken
	t       *testing.T
	path    string
	c       *net.UnixConn
	running sync.WaitGroup
}

func (p *unixPeer) up() {
	os.Remove(p.path)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.path, Net: "unixgram"})
	if err != nil {
		p.t.Fatal(err)
	}
	p.c = c
	p.running.Go(func() {
		b := make([]byte, 8192)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			p.take(strings.TrimSuffix(string(b[:n]), "\x00"))
		}
	})
}

func (p *unixPeer) down() {
	p.c.Close()
	p.running.Wait()
}

// webPeer is a web server. A slow one refuses half of what comes.
type webPeer struct {
	taken
	t       *testing.T
	address string
	s       *http.Server
	asked   int
}

func (p *webPeer) up() {
	l, err := net.Listen("tcp", cmp.Or(p.address, "127.0.0.1:0"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = l.Addr().String()
	p.s = &http.Server{Handler: p}
	go p.s.Serve(l)
}

func (p *webPeer) down() { // what is being answered is answered: a webhook has no other way to know
	if err := p.s.Shutdown(p.t.Context()); err != nil {
		p.t.Error(err)
	}
}

func (p *webPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	p.mu.Lock()
	p.asked++
	refuse := err != nil || p.wait > 0 && p.asked%2 == 0
	p.mu.Unlock()
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	p.take(strings.TrimSuffix(string(body), `"}`))
}

// natsPeer is a NATS server. Slow and refusing is a stream that takes no more.
type natsPeer struct {
	t    *testing.T
	opts server.Options
	s    *server.Server
	full bool
}

func (p *natsPeer) up() {
	o := p.opts
	s, err := server.NewServer(&o)
	if err != nil {
		p.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		p.t.Fatal("the NATS server does not start")
	}
	p.s, p.opts.Port = s, s.Addr().(*net.TCPAddr).Port
}

func (p *natsPeer) down() {
	p.s.Shutdown()
	p.s.WaitForShutdown()
}

func (p *natsPeer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.opts.Port) }

func (p *natsPeer) stream() jetstream.Stream {
	nc, err := natsclient.Connect(p.url())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	s, err := js.Stream(ctx, "OSSEC")
	if err != nil {
		p.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Discard, cfg.MaxMsgs = jetstream.DiscardNew, int64(max(1, s.CachedInfo().State.Msgs))
	if p.full {
		s, err = js.UpdateStream(ctx, cfg)
	} else {
		cfg.MaxMsgs = -1
		s, err = js.UpdateStream(ctx, cfg)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *natsPeer) slow(yes bool) {
	p.full = yes
	p.stream()
}

func (p *natsPeer) came() map[string]int {
	s := p.stream()
	all := make(map[string]int)
	for seq := range s.CachedInfo().State.LastSeq {
		m, err := s.GetMsg(p.t.Context(), seq+1)
		if err != nil {
			p.t.Fatal(err)
		}
		text := strings.TrimSuffix(string(m.Data), `"}`)
		all[text[strings.LastIndexByte(text, ' ')+1:]]++
	}
	return all
}

// counts are those of all sinks, in their order.
func counts(h *sink.Sinks) (list []journal.Counts) {
	for _, c := range h.Counts() {
		list = append(list, c)
	}
	return list
}

// Peers are away at the start, come, refuse or are slow, go and come back, while events come: each sink loses none, its counts add
// up at any time, and the file beside them has every event at once.
func TestPeersThatFail(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sinks") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	tcp := &tcpPeer{t: t}
	unix := &unixPeer{t: t, path: filepath.Join(dir, "q")}
	jet := &natsPeer{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "js"), NoLog: true, NoSigs: true}}
	web := &webPeer{t: t}
	peers := []peer{tcp, unix, web, jet}
	for _, p := range peers[:3] {
		p.up()
		p.down()
	}
	jet.up() // its addresses are known from now on
	jet.down()
	subject, err := nats.ParseSubject(nats.DefaultSubject)
	if err != nil {
		t.Fatal(err)
	}
	open := []func(ctx context.Context, _ sink.Env) (sink.Sink, error){
		func(context.Context, sink.Env) (sink.Sink, error) {
			return syslog.New(syslog.Options{Address: tcp.address, Protocol: "tcp", MaxSize: 2048}, quiet)
		},
		func(context.Context, sink.Env) (sink.Sink, error) { return ossecqueue.New(unix.path, quiet), nil },
		func(context.Context, sink.Env) (sink.Sink, error) {
			return webhook.New(webclient.Options{URL: "http://" + web.address, Timeout: time.Minute}, quiet)
		},
		func(context.Context, sink.Env) (sink.Sink, error) {
			return nats.New(nats.Options{Servers: []string{jet.url()}, Subject: subject, Origin: "M",
				Stream: nats.Stream{Name: "OSSEC", Replicas: 1, MaxAge: time.Hour, Duplicates: 2 * time.Minute}}, quiet)
		},
		func(ctx context.Context, _ sink.Env) (sink.Sink, error) {
			return file.Open(ctx, file.Options{Path: filepath.Join(dir, "events.json")}, quiet)
		},
	}
	var specs []sink.Spec
	for i, o := range open {
		specs = append(specs, sink.Spec{Name: fmt.Sprint(i), Open: o})
	}
	h := sinktest.Start(t, sinktest.Journal(t), quiet, specs...)

	put := 0
	a := sink.NewAgent("001", "web01", "any")
	some := func(n int) {
		var l sink.Lot
		for range n {
			put++
			l.Event(a, time.Now(), uint64(put), netip.MustParseAddrPort("10.0.0.7:40112"), '1', []byte("l"), fmt.Appendf(nil, "event %d", put))
			if l.Len() == 32 {
				h.Put(&l, false)
				l.Clear()
				time.Sleep(2 * time.Millisecond)
			}
		}
		h.Put(&l, false)
		for i, c := range counts(h) {
			if c.Received != c.Delivered+c.Pending+c.Lost || c.Received != uint64(put) || c.Lost > 0 {
				t.Errorf("sink %d after %d events: %+v", i, put, c)
			}
		}
	}
	until := func(what string, f func(i int, c journal.Counts) bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			all := true
			for i, c := range counts(h) {
				all = all && f(i, c)
			}
			if all {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: not so with %+v", what, counts(h))
			}
		}
	}
	every := func(f func(p peer)) {
		for _, p := range peers {
			f(p)
		}
	}
	some(1500) // all are away
	until("the file has all at once", func(i int, c journal.Counts) bool { return i < len(peers) || c.Delivered == uint64(put) })
	every(peer.up)
	until("all are delivered", func(_ int, c journal.Counts) bool { return c.Pending == 0 })
	every(func(p peer) { p.slow(true) })
	some(1500)
	until("the file has all at once", func(i int, c journal.Counts) bool { return i < len(peers) || c.Delivered == uint64(put) })
	every(func(p peer) { p.slow(false) })
	some(500)
	every(peer.down)
	sure := put // what comes from here on has only the network between
	some(1000)
	every(peer.up)
	some(500)
	until("all are delivered", func(_ int, c journal.Counts) bool { return c.Pending == 0 })
	if err := h.Close(time.Minute); err != nil {
		t.Error(err)
	}
	for i, c := range counts(h) {
		if c != (journal.Counts{Received: uint64(put), Delivered: uint64(put)}) {
			t.Errorf("sink %d: %+v, want %d", i, c, put)
		}
	}
	for _, p := range []peer{jet, web} { // who answer for what they have
		if all := p.came(); len(all) != put {
			t.Errorf("%T has %d of %d events", p, len(all), put)
		}
	}
	for _, p := range []peer{tcp, unix} { // when these go, so does what they had not read
		until("the last are read", func(int, journal.Counts) bool {
			all := p.came()
			for i := sure + 1; i <= put; i++ {
				if all[strconv.Itoa(i)] == 0 {
					return false
				}
			}
			return true
		})
	}
	for _, p := range peers[1:] { // a write over TCP that is cut short is repeated
		for word, n := range p.came() {
			if n != 1 {
				t.Errorf("%T: event %s came %d times", p, word, n)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "events.json"))
	if n := strings.Count(string(text), "\n"); err != nil || n != put {
		t.Errorf("the file has %d of %d events, %v", n, put, err)
	}
	every(peer.down)
}
