// Package syslog is plain syslog from the network, by UDP and TCP, as events.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/keys/setting"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/proto/syslog"
)

// Input is where syslog is taken, and from whom.
type Input struct {
	listen  string
	network string // "udp" or "tcp"; a table with both makes two inputs
	senders syslog.Senders
	idle    time.Duration // after which a silent TCP connection is closed
}

const (
	maxInputs   = 64
	maxConns    = 256            // of each TCP listener
	defaultIdle = 24 * time.Hour // a sender loses what it writes to a connection that was closed, so this is no thrift
	tryAgain    = 100 * time.Millisecond
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// ParseTables reads the tables [[manager.syslog]].
func ParseTables(tables []*setting.Table) (inputs []Input, warnings []string, err error) {
	if len(tables) > maxInputs {
		return nil, nil, fmt.Errorf("syslog: %d are too many; use %d at most", len(tables), maxInputs)
	}
	for _, t := range tables {
		t = t.Begin()
		t.Renamed("network", "protocols", func(v any) any { return []any{v} })
		protocols := t.Strings("protocols")
		if protocols == nil {
			protocols = []string{"udp"}
		}
		for j, p := range protocols {
			if p != "udp" && p != "tcp" || slices.Contains(protocols[:j], p) {
				t.Fault("protocols", "%.40q is unknown, or given twice; use udp, tcp, or both", p)
			}
		}
		in := Input{listen: t.String("listen", syslog.DefaultListen), senders: syslog.Senders{Allow: senders(t, "allow"), Deny: senders(t, "deny")},
			idle: t.Duration("idle_timeout", defaultIdle, time.Second, 30*24*time.Hour)}
		host, port, splitErr := net.SplitHostPort(in.listen)
		address, hostErr := netip.ParseAddr(host)
		if _, portErr := net.LookupPort("udp", port); splitErr != nil || portErr != nil || host != "" && hostErr != nil {
			t.Fault("listen", `%.100q is not an address with a port; use one such as "192.0.2.10:514" or ":514"`, in.listen)
		} else if !t.Has("allow") && !address.IsLoopback() {
			t.Fault("allow", `missing; name the senders, as in allow = ["192.0.2.0/24"]`)
		}
		if !slices.Contains(protocols, "tcp") && t.Has("idle_timeout") {
			t.Fault("idle_timeout", `goes with protocols = ["tcp"]`)
		}
		if in.senders.Allow == nil {
			in.senders.Allow = loopback
		}
		for _, in.network = range protocols {
			inputs = append(inputs, in)
		}
		warnings = append(warnings, t.Warnings()...)
		err = errors.Join(err, t.End())
	}
	return inputs, warnings, err
}

// senders reads a list of addresses and CIDR blocks.
func senders(t *setting.Table, key string) (list []netip.Prefix) {
	for _, text := range t.Strings(key) {
		p, err := syslog.ParseSenders(text)
		if err != nil {
			t.Fault(key, "%.100q is not an address or CIDR block; write it as 192.0.2.7 or 192.0.2.0/24", text)
		}
		list = append(list, p)
	}
	return list
}

// Events are where what was said goes.
type Events interface {
	Put(l *sink.Lot, more bool) (end uint64)
}

// Server is all inputs, open.
type Server struct {
	conns     []listen.PacketConn // of UDP
	listeners []net.Listener      // of TCP
	serve     []func(ctx context.Context)
}

// input is one that is open.
type input struct {
	*Input
	events  Events
	limited *limitlog.Logger
	sender  *sink.Agent // who pays for its events

	serving sync.WaitGroup // connections
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
}

// Open opens the inputs, or none.
func Open(inputs []Input, events Events, log *slog.Logger) (*Server, error) {
	s, limited := new(Server), limitlog.New(log)
	for i := range inputs {
		d := &input{Input: &inputs[i], events: events, limited: limited, conns: make(map[net.Conn]struct{})}
		d.sender = sink.NewSender("syslog by " + d.network + " to " + d.listen)
		if err := s.open(d, log); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) open(in *input, log *slog.Logger) error {
	if in.network == "tcp" {
		l, err := net.Listen("tcp", in.listen)
		if err != nil {
			return fmt.Errorf("syslog: %w; check whether another program has that port (ss -lnp), and whether this user may take one below 1024", err)
		}
		log.Info("listening for syslog", "network", "tcp", "addr", l.Addr().String())
		s.listeners = append(s.listeners, l)
		s.serve = append(s.serve, func(ctx context.Context) { in.accept(ctx, l) })
		return nil
	}
	conns, err := listen.Open(in.listen, log)
	if err != nil {
		return fmt.Errorf("syslog: %w", err)
	}
	s.conns = append(s.conns, conns...)
	var told []netip.AddrPort
	for _, c := range conns {
		if a := c.LocalAddr(); !slices.Contains(told, a) {
			told = append(told, a)
			log.Info("listening for syslog", "network", "udp", "addr", a.String())
		}
		s.serve = append(s.serve, func(ctx context.Context) { in.receive(ctx, c) })
	}
	return nil
}

// Conns are the sockets of UDP.
func (s *Server) Conns() []listen.PacketConn { return s.conns }

// Run takes syslog until ctx ends, and closes the inputs.
func (s *Server) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, f := range s.serve {
		all.Go(func() { f(ctx) })
	}
	all.Wait()
}

// Close closes the inputs where there will be no Run.
func (s *Server) Close() {
	listen.CloseAll(s.conns)
	for _, l := range s.listeners {
		l.Close()
	}
}

// receive takes datagrams, a message each, until ctx ends.
func (d *input) receive(ctx context.Context, conn listen.PacketConn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	from := listen.Batches(conn)
	var ps [listen.BatchSize]listen.Datagram
	var events sink.Lot
	for {
		n, err := from.ReadBatch(ps[:])
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if d.pause(ctx, "syslog cannot be received", err) {
				continue
			}
			return
		}
		now := time.Now()
		for _, p := range ps[:n] {
			if d.admits(p.From.Addr()) {
				d.add(&events, now, p.From, p.Data)
			}
		}
		d.events.Put(&events, n == len(ps))
		events.Clear()
	}
}

// pause waits before what failed is tried again; it returns false when ctx has ended.
func (d *input) pause(ctx context.Context, what string, err error) bool {
	d.limited.Error(what, "err", err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(tryAgain):
		return true
	}
}

// admits says whether a sender may be heard, and counts it where not.
func (d *input) admits(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	if d.senders.Has(from) {
		return true
	}
	d.limited.Error("syslog of senders that are not allowed is dropped", "err", fmt.Errorf("%s is not in allow of listen %s, or in deny; add it if it should be heard", from, d.listen))
	return false
}

// add adds an event; what has no text is none.
func (d *input) add(events *sink.Lot, now time.Time, from netip.AddrPort, message []byte) {
	message = syslog.Strip(message)
	if len(message) == 0 {
		return
	}
	var b [64]byte
	from = listen.Unmap(from)
	events.Event(d.sender, now, 0, from, '2', from.Addr().WithZone("").AppendTo(b[:0]), message)
}
