package manager

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

	"ossecd/keys/setting"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/proto/syslog"
)

// syslogInput is a table [[manager.syslog]]: where plain syslog is taken, and from whom.
type syslogInput struct {
	listen  string
	network string // "udp" or "tcp"; a table with both makes two inputs
	senders syslog.Senders
	idle    time.Duration // after which a silent TCP connection is closed
}

const (
	maxSyslogInputs = 64
	maxSyslogConns  = 256            // of each TCP listener
	syslogIdle      = 24 * time.Hour // a sender loses what it writes to a connection that was closed, so this is no thrift
	syslogReadAgain = 100 * time.Millisecond
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// planSyslog reads the tables of Config.Syslog.
func (c *Config) planSyslog() (inputs []syslogInput, err error) {
	if len(c.Syslog) > maxSyslogInputs {
		return nil, fmt.Errorf("syslog: %d are too many; use %d at most", len(c.Syslog), maxSyslogInputs)
	}
	for _, t := range c.Syslog {
		t = t.Begin()
		t.Renamed("network", "protocols", func(v any) any { return []any{v} })
		protocols := t.Strings("protocols")
		if protocols == nil {
			protocols = []string{"udp"}
		}
		for j, p := range protocols {
			if p != "udp" && p != "tcp" || slices.Contains(protocols[:j], p) {
				t.Fault("protocols", "%.40q is unknown, or stands there twice; use udp, tcp, or both", p)
			}
		}
		in := syslogInput{listen: t.String("listen", syslog.DefaultListen), senders: syslog.Senders{Allow: senders(t, "allow"), Deny: senders(t, "deny")},
			idle: t.Duration("idle_timeout", syslogIdle, time.Second, 30*24*time.Hour)}
		host, port, splitErr := net.SplitHostPort(in.listen)
		address, hostErr := netip.ParseAddr(host)
		if _, portErr := net.LookupPort("udp", port); splitErr != nil || portErr != nil || host != "" && hostErr != nil {
			t.Fault("listen", `%.100q is no address and port; use one such as "192.0.2.10:514" or ":514"`, in.listen)
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
		c.warnings = append(c.warnings, t.Warnings()...)
		err = errors.Join(err, t.End())
	}
	return inputs, err
}

// senders reads a list of addresses and CIDR blocks.
func senders(t *setting.Table, key string) (list []netip.Prefix) {
	for _, text := range t.Strings(key) {
		p, err := syslog.ParseSenders(text)
		if err != nil {
			t.Fault(key, "%.100q is no address or CIDR block; write one as 192.0.2.7 or 192.0.2.0/24", text)
		}
		list = append(list, p)
	}
	return list
}

// syslogDoor is an input that is open.
type syslogDoor struct {
	*syslogInput
	m      *manager
	log    *slog.Logger
	sender *sink.Agent // who pays for its events

	serving sync.WaitGroup // connections
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
}

// openSyslog opens the inputs that the configuration asks for, or none. The sockets of UDP are among packets, too.
func (m *manager) openSyslog() (doors []door, packets []listen.PacketConn, err error) {
	for i := range m.cfg.syslog {
		in := &m.cfg.syslog[i]
		d := &syslogDoor{syslogInput: in, m: m, log: m.log, sender: m.sinks.NewSender("syslog by " + in.network + " to " + in.listen), conns: make(map[net.Conn]struct{})}
		if in.network == "tcp" {
			l, err := net.Listen("tcp", in.listen)
			if err != nil {
				closeDoors(doors)
				return nil, nil, fmt.Errorf("syslog: %w; see whether another program has that port (ss -lnp), and whether this user may take one below 1024", err)
			}
			m.log.Info("listening for syslog", "network", "tcp", "addr", l.Addr().String())
			doors = append(doors, door{func(ctx context.Context) { d.accept(ctx, l) }, func() { l.Close() }})
			continue
		}
		conns, err := listen.Open(in.listen, m.log)
		if err != nil {
			closeDoors(doors)
			return nil, nil, fmt.Errorf("syslog: %w", err)
		}
		packets = append(packets, conns...)
		var told []netip.AddrPort
		for _, c := range conns {
			if a := c.LocalAddr(); !slices.Contains(told, a) {
				told = append(told, a)
				m.log.Info("listening for syslog", "network", "udp", "addr", a.String())
			}
			doors = append(doors, door{func(ctx context.Context) { d.receive(ctx, c) }, func() { c.Close() }})
		}
	}
	return doors, packets, nil
}

// receive takes datagrams, a message each, until ctx ends.
func (d *syslogDoor) receive(ctx context.Context, conn listen.PacketConn) {
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
		d.m.sinks.Put(&events, n == len(ps))
		events.Clear()
	}
}

// pause waits before what failed is tried again; it returns false when ctx has ended.
func (d *syslogDoor) pause(ctx context.Context, what string, err error) bool {
	d.m.limited.Error(what, "err", err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(syslogReadAgain):
		return true
	}
}

// admits says whether a sender may be heard, and counts it where not.
func (d *syslogDoor) admits(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	if d.senders.Has(from) {
		return true
	}
	d.m.limited.Error("syslog of senders that are not allowed is dropped", "err", fmt.Errorf("%s is not in allow of listen %s, or in deny; add it if it should be heard", from, d.listen))
	return false
}

// add adds an event; what has no text is none.
func (d *syslogDoor) add(events *sink.Lot, now time.Time, from netip.AddrPort, message []byte) {
	message = syslog.Strip(message)
	if len(message) == 0 {
		return
	}
	var b [64]byte
	from = listen.Unmap(from)
	events.Event(d.sender, now, 0, from, '2', from.Addr().WithZone("").AppendTo(b[:0]), message)
}
