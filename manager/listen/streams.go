package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/proto"
)

// Streams takes connections over TCP, and what comes over them.
//
//	accept ─▶ waiting ── first authentic message ─▶ kept
//	            │ 30 s, or room is needed
//	            ▼
//	          closed
//
// Each connection has a goroutine that does nothing but wait for bytes, with no buffer. Then a worker, of which there are as many as cores,
// reads what there is and has its Handler take it. So a connection costs little while it is idle, and one that sends much has its turn
// after all others that sent something.
type Streams struct {
	log       *slog.Logger
	limited   *limitlog.Logger
	listeners []net.Listener
	ready     chan *Stream
	running   sync.WaitGroup // accept loops and connections

	mu      sync.Mutex
	closed  bool
	all     map[*Stream]struct{}
	waiting waiting
}

// Handler takes what comes over connections. It is for one goroutine.
type Handler interface {
	// Take takes a packet, which it may use until it returns, and says whether the connection is to go on.
	Take(s *Stream, packet []byte, now time.Time) (keep bool)
	// Malformed takes that what came over a connection is no packet. The connection is closed.
	Malformed(s *Stream, err error)
	// Done follows all packets that came together.
	Done()
}

const (
	// authenticWithin is how long a connection may have no authentic message. Stock agents begin with one.
	authenticWithin = 30 * time.Second

	// Where a worker has hardly been idle, connections gather for so long before their turn: what comes over many of them then costs one
	// hand-over, and fewer wake-ups.
	gatherUnder = time.Millisecond
	gather      = 3 * time.Millisecond

	// readyAtOnce is how many connections can be ready without a worker.
	readyAtOnce = 1024

	// acceptAgain is the pause after the system could not give us a connection.
	acceptAgain = 50 * time.Millisecond
)

// keepAlive has the system find out within a minute that the other host is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// NewStreams makes one that listens nowhere yet.
func NewStreams(log *slog.Logger) *Streams {
	return &Streams{
		log: log, limited: limitlog.New(log), ready: make(chan *Stream, readyAtOnce), all: make(map[*Stream]struct{}), waiting: newWaiting(),
	}
}

// Open listens on an address "host:port" too. Without a host that is one for IPv4 and one for IPv6, on the same port, as far as the system
// has these families.
func (t *Streams) Open(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen address %q: %v; write it as host:port, as in 0.0.0.0:1514 or [::]:1514", address, err)
	}
	if host != "" {
		l, err := listenTCP("tcp", address)
		if err == nil {
			t.listeners = append(t.listeners, l)
		}
		return err
	}
	l4, err4 := listenTCP("tcp4", net.JoinHostPort("0.0.0.0", port))
	if err4 != nil && !noFamily(err4) {
		return err4
	}
	if err4 == nil {
		t.listeners = append(t.listeners, l4)
		port = fmt.Sprint(l4.Addr().(*net.TCPAddr).Port)
	}
	l6, err6 := listenTCP("tcp6", net.JoinHostPort("::", port))
	switch {
	case err6 == nil:
		t.listeners = append(t.listeners, l6)
	case err4 != nil || !noFamily(err6):
		return err6
	}
	return nil
}

func listenTCP(network, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := lc.Listen(context.Background(), network, address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on tcp://%s: the port is in use (%w); stop what holds it (ss -tlpn shows it), or choose another port", address, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on tcp://%s: %w; ports below 1024 need root or CAP_NET_BIND_SERVICE", address, err)
	case err != nil && noFamily(err):
		return nil, fmt.Errorf("listen on tcp://%s: %w; this host has no such address: choose one that it has (ip address shows them), or :PORT for all", address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on tcp://%s: %w; check the address", address, err)
	}
	return l, nil
}

// Addrs is where it listens.
func (t *Streams) Addrs() (all []netip.AddrPort) {
	for _, l := range t.listeners {
		all = append(all, Unmap(l.Addr().(*net.TCPAddr).AddrPort()))
	}
	return all
}

// Serve takes connections until ctx ends, and returns once all have ended. Each worker gets a Handler of its own.
func (t *Streams) Serve(ctx context.Context, handler func() (Handler, error)) error {
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxReceivers) {
		h, err := handler()
		if err != nil {
			t.Close()
			return err
		}
		workers.Go(func() { t.work(h) })
	}
	for _, l := range t.listeners {
		t.running.Go(func() { t.accept(ctx, l) })
	}
	t.running.Go(func() { t.expire(ctx) })
	<-ctx.Done()
	t.Close()
	t.running.Wait()
	close(t.ready)
	workers.Wait()
	return nil
}

// Close closes all connections and listens no more.
func (t *Streams) Close() {
	t.mu.Lock()
	t.closed = true
	var all []*Stream
	for s := range t.all {
		all = append(all, s)
	}
	t.mu.Unlock()
	for _, l := range t.listeners {
		l.Close()
	}
	for _, s := range all {
		s.Close()
	}
}

func (t *Streams) work(h Handler) {
	buf := make([]byte, workBuffer)
	turn := make([]*Stream, 0, BatchSize)
	var keep [BatchSize]bool
	var last time.Time // when the turn before ended
	for s := range t.ready {
		if time.Since(last) < gatherUnder {
			time.Sleep(gather)
		}
		turn = append(turn[:0], s)
	more:
		for len(turn) < BatchSize {
			select {
			case s, ok := <-t.ready:
				if !ok {
					break more
				}
				turn = append(turn, s)
			default:
				break more
			}
		}
		for i, s := range turn {
			keep[i] = s.take(h, buf)
		}
		h.Done()
		for i, s := range turn {
			s.resume <- keep[i]
		}
		last = time.Now()
	}
}

func (t *Streams) accept(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			t.enter(conn)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // no file descriptor left, most likely: who waits without a word gives one up
			t.limited.Error("a connection was not accepted", "err", err, "remedy", "raise the limit of open files (ulimit -n, or LimitNOFILE in the service): each agent over TCP needs one")
			t.mu.Lock()
			oldest := t.waiting.oldest()
			t.mu.Unlock()
			if oldest != nil {
				oldest.Close()
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptAgain):
			}
		}
	}
}

// enter serves a connection.
func (t *Streams) enter(conn net.Conn) {
	s := newStream(t, conn)
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		conn.Close()
		return
	}
	out := t.waiting.add(s, time.Now())
	t.all[s] = struct{}{}
	t.running.Go(s.run)
	t.mu.Unlock()
	if out != nil {
		t.limited.Warn("connections without an authentic message make room for new ones", "source", out.from.String(), "address_most", maxWaitingFrom, "most", maxWaiting,
			"remedy", "none needed if many agents just came back. Otherwise find out who connects so often, and keep it away with a firewall")
		out.Close()
	}
}

// leave forgets a connection that has ended.
func (t *Streams) leave(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, s)
	t.waiting.remove(s)
}

// keep takes that a connection is an agent's.
func (t *Streams) keep(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting.remove(s)
}

// expire closes connections that had no authentic message for too long, until ctx ends.
func (t *Streams) expire(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for {
			t.mu.Lock()
			s := t.waiting.oldest()
			if s != nil && time.Since(s.came) < authenticWithin {
				s = nil
			}
			if s != nil {
				t.waiting.remove(s)
			}
			t.mu.Unlock()
			if s == nil {
				break
			}
			t.limited.Warn("a connection without an authentic message was closed", "source", s.from.String(), "after", authenticWithin.String(),
				"remedy", "none needed if it is rare: a scanner, or an agent whose host went away. Otherwise see what is refused, and from whom")
			s.Close()
		}
	}
}

// Len is how many connections there are.
func (t *Streams) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// workBuffer takes what may be left of a packet, and a packet more.
const workBuffer = 2 * (proto.PacketHeader + proto.MaxPacket)
