// Package syslog receives syslog from the network, over UDP and TCP. It passes lines of any form on whole, without the priority in
// front, as the stock remote daemon does (docs/protocol.md, "Events"). The queue is '2', and the location is the sender's address.
//
// A TCP sender waits while the agent cannot pass its messages on. A UDP sender cannot wait: what does not fit into the buffer is lost
// and counted (package buffer).
package syslog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"ossecd/agent/source"
	"ossecd/agent/source/buffer"
	"ossecd/proto/syslog"
)

// Config says where to listen, and to whom.
type Config struct {
	Listen      string        // ADDRESS:PORT, default ":514"; an empty ADDRESS is all of the host's. Port 0 picks one
	Protocols   []string      // "udp", "tcp" or both; default: udp
	Allow       []string      // addresses and CIDR blocks of senders; default: the host itself, where Listen is a loopback address
	Deny        []string      // likewise; wins over Allow
	Location    string        // of all events, default: the sender's address
	IdleTimeout time.Duration // after which a silent TCP connection is closed, default 24 h, 1 s to 30 days
	MaxEvent    int           // largest QUEUE:LOCATION:MESSAGE in bytes that the channel takes; longer messages become several
	Log         *slog.Logger
}

const (
	defaultIdle = 24 * time.Hour // a sender loses what it writes to a connection that was closed, so this is no thrift
	mostIdle    = 30 * 24 * time.Hour
	maxConns    = 256
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// Source listens. Make it with [New].
type Source struct {
	cfg      Config
	senders  syslog.Senders
	udp, tcp bool
	ready    func(net.Addr) // told of each socket, for tests
}

var _ source.Source = (*Source)(nil)

// New checks the configuration, and says all that is wrong with it. It listens to nothing yet.
func New(cfg Config) (*Source, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	cfg.Listen = cmp.Or(cfg.Listen, syslog.DefaultListen)
	s := &Source{cfg: cfg, ready: func(net.Addr) {}}
	host, port, err := net.SplitHostPort(cfg.Listen)
	address, hostErr := netip.ParseAddr(host)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host != "" && hostErr != nil {
		fault(`listen: %.100q is not an address with a port; use one such as "127.0.0.1:5140" or ":5140"`, cfg.Listen)
	}
	if len(cfg.Protocols) == 0 {
		cfg.Protocols = []string{"udp"}
	}
	for _, p := range cfg.Protocols {
		switch {
		case p == "udp" && !s.udp:
			s.udp = true
		case p == "tcp" && !s.tcp:
			s.tcp = true
		default:
			fault("protocols: %.20q is unknown, or given twice; use udp, tcp, or both", p)
		}
	}
	senders := func(key string, texts []string) (list []netip.Prefix) {
		for _, text := range texts {
			p, err := syslog.ParseSenders(text)
			if err != nil {
				fault("%s: %.100q is not an address or CIDR block; write it as 192.0.2.7 or 192.0.2.0/24", key, text)
			}
			list = append(list, p)
		}
		return list
	}
	s.senders = syslog.Senders{Allow: senders("allow", cfg.Allow), Deny: senders("deny", cfg.Deny)}
	if len(cfg.Allow) == 0 {
		s.senders.Allow = loopback
		if !address.IsLoopback() && len(faults) == 0 {
			fault("allow: none given, and %q can be reached from the network; name the senders, as in allow = [\"192.0.2.0/24\"]", cfg.Listen)
		}
	}
	if s.cfg.IdleTimeout != 0 && !s.tcp {
		fault(`idle_timeout: goes with protocols = ["tcp"]`)
	}
	if s.cfg.IdleTimeout == 0 {
		s.cfg.IdleTimeout = defaultIdle
	}
	if s.cfg.IdleTimeout < time.Second || s.cfg.IdleTimeout > mostIdle {
		fault("idle_timeout: %v; use 1s to %v", s.cfg.IdleTimeout, mostIdle)
	}
	return s, errors.Join(faults...)
}

// Run listens until ctx ends. It returns an error where it cannot listen.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &receiver{Source: s, events: buffer.New("syslog "+s.cfg.Listen, buffer.Size, s.cfg.Log), conns: make(map[net.Conn]struct{})}
	if err := r.listen(ctx); err != nil {
		r.close()
		return err
	}
	var running sync.WaitGroup
	failed := make(chan error, 2)
	for _, read := range r.readers {
		running.Go(func() {
			defer cancel()
			failed <- read(ctx)
		})
	}
	stop := context.AfterFunc(ctx, r.close)
	err := r.events.Run(ctx, out)
	cancel()
	if stop() {
		r.close()
	}
	running.Wait()
	r.serving.Wait()
	r.events.End()
	close(failed)
	for f := range failed {
		err = errors.Join(err, f)
	}
	return err
}

// receiver is one Run of a Source.
type receiver struct {
	*Source
	events  *buffer.Buffer
	readers []func(context.Context) error // each returns nil when its socket was closed
	sockets []interface{ Close() error }
	serving sync.WaitGroup // connections

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// listen makes the sockets. With port 0 both get the same one, or rarely fail to.
func (r *receiver) listen(ctx context.Context) error {
	var how net.ListenConfig
	address := r.cfg.Listen
	if r.tcp {
		l, err := how.Listen(ctx, "tcp", address)
		if err != nil {
			return cannotListen(err)
		}
		address = l.Addr().String()
		r.started("tcp", l, l.Addr(), func(ctx context.Context) error { return r.accept(ctx, l) })
	}
	if r.udp {
		p, err := how.ListenPacket(ctx, "udp", address)
		if err != nil {
			return cannotListen(err)
		}
		conn := p.(*net.UDPConn)
		conn.SetReadBuffer(1 << 20) // what the system allows; as it is, is fine, too
		r.started("udp", conn, conn.LocalAddr(), func(ctx context.Context) error { return r.readUDP(ctx, conn) })
	}
	return nil
}

func cannotListen(err error) error {
	return fmt.Errorf("syslog: %w; check whether another program has that port (ss -lnp), and whether this user may take one below 1024", err)
}

func (r *receiver) started(network string, socket interface{ Close() error }, addr net.Addr, read func(context.Context) error) {
	r.sockets = append(r.sockets, socket)
	r.readers = append(r.readers, read)
	r.cfg.Log.Info("listening for syslog", "network", network, "addr", addr.String())
	r.ready(addr)
}

// close closes all sockets.
func (r *receiver) close() {
	for _, s := range r.sockets {
		s.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.conns {
		c.Close()
	}
}

var (
	refused = buffer.Note{Text: "syslog from senders that are not allowed was dropped", Remedy: "add them to allow, or take them out of deny, if they should be heard"}
	split   = buffer.Note{Text: "messages were split: they are longer than a manager takes", Remedy: "have the sender write shorter ones"}
)

// allowed says whether a sender may be heard, and counts it where not.
func (r *receiver) allowed(from netip.Addr) bool {
	if r.senders.Has(from) {
		return true
	}
	r.events.Count(refused, 1, from.String())
	return false
}

// location is what events of a sender have.
func (r *receiver) location(from netip.Addr) string {
	if r.cfg.Location != "" {
		return r.cfg.Location
	}
	return from.String()
}

// pass passes a message on in pieces that a manager takes.
func (r *receiver) pass(location string, message []byte, add func([]byte) error) error {
	message = syslog.Strip(message)
	room := source.Room(r.cfg.MaxEvent, location)
	if len(message) > room {
		r.events.Count(split, 1, location)
	}
	for len(message) > room {
		if err := add(message[:room]); err != nil {
			return err
		}
		message = message[room:]
	}
	if len(message) == 0 {
		return nil
	}
	return add(message)
}
