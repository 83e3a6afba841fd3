package simnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// socket is one end.
type socket struct {
	net    *Network
	local  netip.AddrPort
	remote netip.AddrPort // valid in connected ones
	queue  chan packet
	held   int // bytes charged; under net.mu
	failed chan error
	once   sync.Once
	closed chan struct{}

	deadline deadline
}

func (s *socket) read(p []byte) (int, packet, error) {
	select {
	case <-s.closed:
		return 0, packet{}, net.ErrClosed
	case err := <-s.failed:
		return 0, packet{}, err
	default:
	}
	select {
	case <-s.closed:
		return 0, packet{}, net.ErrClosed
	case err := <-s.failed:
		return 0, packet{}, err
	case <-s.deadline.passed():
		return 0, packet{}, os.ErrDeadlineExceeded
	case got := <-s.queue:
		s.net.mu.Lock()
		s.held -= len(got.data) + perPacket
		s.net.mu.Unlock()
		return copy(p, got.data), got, nil
	}
}

func (s *socket) write(p []byte, from, to netip.AddrPort) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	case err := <-s.failed:
		return err // and the datagram is not sent, as on Linux
	default:
	}
	return s.net.send(from, to, p)
}

func (s *socket) close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		delete(s.net.sockets, s.local)
		close(s.closed)
		err = nil
	})
	return err
}

// Conn is a connected socket.
type Conn struct{ s *socket }

// Read returns one datagram, cut to len(p), or syscall.ECONNREFUSED where one that was sent found nobody.
func (c *Conn) Read(p []byte) (int, error) {
	n, _, err := c.s.read(p)
	return n, c.wrap("read", err)
}

// Write sends one datagram.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.s.write(p, c.s.local, c.s.remote); err != nil {
		return 0, c.wrap("write", err)
	}
	return len(p), nil
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Close ends waiting reads with net.ErrClosed.
func (c *Conn) Close() error { return c.wrap("close", c.s.close()) }

// LocalAddr is a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.s.local) }

// RemoteAddr is a *net.UDPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.s.remote) }

// SetDeadline sets that of reads; writes never wait.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds waiting and later reads; the zero Time takes the bound away.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.s.deadline.set(t)
	return nil
}

// SetWriteDeadline does nothing: writes never wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// Endpoint is a listening socket.
type Endpoint struct{ s *socket }

// ReadPacket waits for a datagram: its length, its sender, and the address it was sent to.
func (e *Endpoint) ReadPacket(p []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, got, err := e.s.read(p)
	return n, got.from, got.to, err
}

// WritePacket sends a datagram from the address given, or from the socket's own where that is invalid (192.0.2.1
// or 2001:db8::1 where it has none).
func (e *Endpoint) WritePacket(p []byte, to netip.AddrPort, from netip.Addr) error {
	if !from.IsValid() {
		from = e.s.local.Addr()
	}
	if from.IsUnspecified() {
		from = source6
		if to.Addr().Is4() {
			from = source4
		}
	}
	return e.s.write(p, netip.AddrPortFrom(from, e.s.local.Port()), to)
}

// LocalAddr has the real port.
func (e *Endpoint) LocalAddr() netip.AddrPort { return e.s.local }

// Close ends waiting reads with net.ErrClosed.
func (e *Endpoint) Close() error { return e.s.close() }
