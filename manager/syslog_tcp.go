package manager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"ossecd/manager/sink"
	"ossecd/proto/syslog"
)

// accept takes connections until ctx ends.
func (d *syslogDoor) accept(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		d.closeAll()
	})
	defer stop()
	defer d.serving.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			d.admit(conn)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // no free file descriptor, as a rule; or the caller has gone already
			if !d.pause(ctx, "a connection for syslog could not be accepted", err) {
				return
			}
		}
	}
}

func (d *syslogDoor) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.conns {
		c.Close()
	}
}

// admit serves a connection, if it may be.
func (d *syslogDoor) admit(conn net.Conn) {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil || !d.admits(from.Addr()) {
		conn.Close()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.conns) >= maxSyslogConns {
		if !d.closed {
			d.m.limited.Error("a connection for syslog was refused", "err", fmt.Errorf("%s: there are %d already; have fewer senders connect, or relay them", from, maxSyslogConns))
		}
		conn.Close()
		return
	}
	d.conns[conn] = struct{}{}
	d.serving.Go(func() {
		if err := d.serve(conn, from); err != nil {
			d.m.limited.Error("a connection for syslog was closed", "err", fmt.Errorf("%s: %w", from, err))
		}
		conn.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.conns, conn)
	})
}

// serve takes what a connection says until it ends. An error is a fault of the sender's.
func (d *syslogDoor) serve(conn net.Conn, from netip.AddrPort) error {
	frames := syslog.NewFramer(patient{conn, d.idle})
	var events sink.Lot
	for {
		m, err := frames.Next()
		d.add(&events, time.Now(), from, m)
		if events.Len() > 0 {
			d.m.sinks.Put(&events, false)
			events.Clear()
		}
		if errors.Is(err, syslog.ErrFrame) {
			return fmt.Errorf("%w; have it write %d bytes at most", err, syslog.MaxMessage)
		}
		if err != nil {
			return nil
		}
	}
}

// patient is a connection whose reads wait so long.
type patient struct {
	net.Conn
	wait time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.wait)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}
