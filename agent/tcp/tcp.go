// Package tcp has messages travel over a stream: each has its length in front. A connection takes one message with each Read and sends one
// with each Write, as a datagram socket does.
package tcp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"ossecd/proto"
)

const (
	// writeWithin bounds a write to a manager that reads nothing. What is unacknowledged fits into the system's buffers, so
	// that it hardly ever waits at all.
	writeWithin = 10 * time.Second

	// sendBuffer is asked for on every connection, so that all that may be unacknowledged fits.
	sendBuffer = 256 << 10

	// readAhead is how many bytes are read at once, at first.
	readAhead = 4 << 10
)

// keepAlive has the system find out within a minute that the other host is gone, as the stock manager does at its end.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// DialStream makes the stream, from the address of local, or where that is nil from where the system chooses.
func DialStream(ctx context.Context, address string, local *net.UDPAddr) (net.Conn, error) {
	d := &net.Dialer{KeepAliveConfig: keepAlive}
	if local != nil {
		d.LocalAddr = &net.TCPAddr{IP: local.IP, Port: local.Port, Zone: local.Zone}
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if t, ok := conn.(*net.TCPConn); ok {
		t.SetWriteBuffer(sendBuffer) // as far as the system grants it
	}
	return conn, nil
}

// Conn is a connection. Read is for one goroutine, and so are Write and WriteBatch. What fails once has ended the connection: the error is
// then io.EOF to errors.Is, unless it was closed at this end.
type Conn struct {
	net.Conn
	in       []byte // what came and was not taken yet: that from taken on
	taken    int
	out      []byte
	closed   atomic.Bool
	broken   atomic.Bool               // it failed, and was closed for that
	deadline atomic.Pointer[time.Time] // of writing, as somebody set it
}

// New makes messages of a stream.
func New(stream net.Conn) *Conn { return &Conn{Conn: stream} }

// ended is why there is no connection any more.
type ended struct{ text string }

func (e *ended) Error() string        { return e.text }
func (e *ended) Is(target error) bool { return target == io.EOF }

// Read takes the next message.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		packet, _, need, err := proto.CutPacket(c.in[c.taken:])
		switch {
		case err != nil:
			return 0, c.end("what came over the connection is no message of a manager: " + err.Error())
		case packet != nil && len(packet) > len(p):
			return 0, io.ErrShortBuffer
		case packet != nil:
			c.taken += need
			return copy(p, packet), nil
		}
		c.in = append(c.in[:0], c.in[c.taken:]...)
		c.taken = 0
		if room := max(need, readAhead); cap(c.in) < room {
			c.in = append(make([]byte, 0, room), c.in...)
		}
		n, err := c.Conn.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if n == 0 && err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, err
			}
			return 0, c.failed(err)
		}
	}
}

// Write sends a message.
func (c *Conn) Write(p []byte) (int, error) {
	c.out = proto.AppendPacket(c.out[:0], p)
	if err := c.send(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteBatch sends messages together. On an error nobody knows which of them arrived.
func (c *Conn) WriteBatch(messages [][]byte) (n int, err error) {
	c.out = c.out[:0]
	for _, m := range messages {
		c.out = proto.AppendPacket(c.out, m)
	}
	if err := c.send(); err != nil {
		return 0, err
	}
	return len(messages), nil
}

// send writes c.out. A part of a message would make all that follows meaningless, so after an error the connection is closed.
func (c *Conn) send() error {
	if c.broken.Load() {
		return c.failed(net.ErrClosed)
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return c.failed(err)
	}
	if d := c.deadline.Load(); d != nil {
		c.Conn.SetWriteDeadline(*d)
	}
	if _, err := c.Conn.Write(c.out); err != nil {
		return c.failed(err)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.deadline.Store(nil)
	} else {
		c.deadline.Store(&t)
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// failed is the error of the stream as that of the connection.
func (c *Conn) failed(err error) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.broken.Load(), errors.Is(err, io.EOF):
		return c.end("the manager closed the connection")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.end("the manager takes nothing from the connection")
	}
	return c.end("the connection failed: " + err.Error())
}

func (c *Conn) end(text string) error {
	c.broken.Store(true)
	c.Conn.Close()
	return &ended{text}
}
