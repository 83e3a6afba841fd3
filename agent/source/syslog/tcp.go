package syslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"ossecd/agent/source/buffer"
	"ossecd/proto/syslog"
)

var (
	crowded = buffer.Note{Text: fmt.Sprintf("connections for syslog were refused: there are %d already", maxConns), Remedy: "connect fewer senders, or relay them"}
	broken  = buffer.Note{Text: "connections for syslog were closed: a message was announced that is too long", Remedy: fmt.Sprintf("have the sender write at most %d bytes", syslog.MaxMessage)}
)

// acceptAgain is the pause after the system refused to accept a connection.
const acceptAgain = 100 * time.Millisecond

// accept takes connections until the socket is closed.
func (r *receiver) accept(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("syslog: %w", err)
		}
		if err != nil { // no free file descriptor, as a rule; or the caller has gone already
			r.events.Count(buffer.Note{Text: "connections for syslog could not be accepted", Remedy: "raise this process's limit of open files"}, 1, err.Error())
			select {
			case <-time.After(acceptAgain):
			case <-ctx.Done():
			}
			continue
		}
		r.admit(ctx, conn)
	}
}

// admit serves a connection, if it may be.
func (r *receiver) admit(ctx context.Context, conn net.Conn) {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	from := at.Addr().Unmap().WithZone("")
	if err != nil || !r.allowed(from) {
		conn.Close()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.conns) >= maxConns {
		if !r.closed {
			r.events.Count(crowded, 1, from.String())
		}
		conn.Close()
		return
	}
	r.conns[conn] = struct{}{}
	r.serving.Go(func() {
		r.serve(ctx, conn, from)
		conn.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, conn)
	})
}

// serve passes on what a connection says until it ends.
func (r *receiver) serve(ctx context.Context, conn net.Conn, from netip.Addr) {
	location := r.location(from)
	add := func(m []byte) error { return r.events.Wait(ctx, '2', location, m) }
	frames := syslog.NewFramer(patient{conn, r.cfg.IdleTimeout})
	for {
		m, err := frames.Next()
		if r.pass(location, m, add) != nil {
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, syslog.ErrFrame):
			r.events.Count(broken, 1, from.String())
			return
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.cfg.Log.Info("a silent syslog connection was closed", "sender", from.String(), "after", r.cfg.IdleTimeout)
			return
		default:
			r.cfg.Log.Info("a syslog connection broke", "sender", from.String(), "err", err)
			return
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
