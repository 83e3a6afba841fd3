package syslog

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
func (d *input) accept(ctx context.Context, l net.Listener) {
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

func (d *input) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.conns {
		c.Close()
	}
}

// admit serves a connection, if it may be.
func (d *input) admit(conn net.Conn) {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil || !d.admits(from.Addr()) {
		conn.Close()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.conns) >= maxConns {
		if !d.closed {
			d.limited.Error("a connection for syslog was refused", "err", fmt.Errorf("%s: there are %d already; connect fewer senders, or relay them", from, maxConns))
		}
		conn.Close()
		return
	}
	d.conns[conn] = struct{}{}
	d.serving.Go(func() {
		if err := d.serve(conn, from); err != nil {
			d.limited.Error("a connection for syslog was closed", "err", fmt.Errorf("%s: %w", from, err))
		}
		conn.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.conns, conn)
	})
}

// serve takes what a connection says until it ends. An error is a fault of the sender's.
func (d *input) serve(conn net.Conn, from netip.AddrPort) error {
	frames := syslog.NewFramer(patient{conn, d.idle})
	var events sink.Lot
	for {
		m, err := frames.Next()
		d.add(&events, time.Now(), from, m)
		if events.Len() > 0 {
			d.events.Put(&events, false)
			events.Clear()
		}
		if errors.Is(err, syslog.ErrFrame) {
			return fmt.Errorf("%w; make it write %d bytes at most", err, syslog.MaxMessage)
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
