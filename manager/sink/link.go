package sink

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// dialWithin is what making a connection may take. How often it is tried is up to the queue.
const dialWithin = 10 * time.Second

// Link is a connection that is made when there is something to write, and made anew when it breaks. Its methods are for
// one goroutine.
type Link struct {
	Dial func(ctx context.Context) (net.Conn, error)
	// Stream says that the other side can end the connection, which shows in reading from it.
	Stream bool

	conn  net.Conn
	ended *atomic.Bool // the other side closed conn
}

// Conn is a connection that was in order a moment ago.
func (l *Link) Conn(ctx context.Context) (net.Conn, error) {
	if l.conn != nil && l.ended.Load() {
		l.Break()
	}
	if l.conn != nil {
		return l.conn, nil
	}
	dialling, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	c, err := l.Dial(dialling)
	if err != nil {
		return nil, err
	}
	l.conn, l.ended = c, new(atomic.Bool)
	if l.Stream {
		go func(ended *atomic.Bool) {
			io.Copy(io.Discard, c) // nothing is said to us, or nothing that we need
			ended.Store(true)
		}(l.ended)
	}
	return c, nil
}

// During has what f does with the connection cut short when ctx ends.
func (l *Link) During(ctx context.Context, f func() error) error {
	c := l.conn
	stop := context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	return f()
}

// wsaTooLong is what Windows says to a datagram that is too long.
const wsaTooLong = syscall.Errno(10040)

// TooLong says that the system takes no datagrams of that length, however often it is asked.
func TooLong(err error) bool { return errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, wsaTooLong) }

// Break ends the connection. The next Conn makes another.
func (l *Link) Break() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}
