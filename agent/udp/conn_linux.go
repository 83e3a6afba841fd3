package udp

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quietConn is a connected UDP socket of which the runtime's poller hears only when there is something to read. A socket as
// package net makes it also tells when it can be written to, which the kernel says each time it lets go of a datagram: that
// wakes a thread for each event that is sent. So the poller watches an epoll instance in which the socket is, for reading alone.
type quietConn struct {
	local, remote net.Addr

	fd       int
	watch    *os.File // the epoll instance
	readable syscall.RawConn
	read     func(uintptr) bool // tryRead, which is not to be allocated each time
	buf      []byte             // for tryRead, and what it got
	got      int
	err      error
	closed   atomic.Bool
	deadline atomic.Pointer[time.Time] // of writing
	batch    [MaxBatch]mmsghdr
	pieces   [MaxBatch]unix.Iovec
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

// quiet takes the socket out of a connection. Where that cannot be done it is as good as before.
func quiet(conn net.Conn) net.Conn {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return conn
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &quietConn{local: conn.LocalAddr(), remote: conn.RemoteAddr(), fd: -1}
	c.read = c.tryRead
	raw.Control(func(fd uintptr) { c.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		return conn
	}
	if err := c.watchIt(); err != nil {
		unix.Close(c.fd)
		return conn
	}
	conn.Close() // it leaves the poller with that
	return c
}

func (c *quietConn) watchIt() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN}
	err = errors.Join(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, c.fd, &event), unix.SetNonblock(epoll, true))
	if err != nil {
		unix.Close(epoll)
		return err
	}
	c.watch = os.NewFile(uintptr(epoll), "udp")
	if err := c.watch.SetDeadline(time.Time{}); err != nil { // the poller does not take it
		c.watch.Close()
		return err
	}
	if c.readable, err = c.watch.SyscallConn(); err != nil {
		c.watch.Close()
	}
	return err
}

// Read implements net.Conn. It is for one goroutine.
func (c *quietConn) Read(p []byte) (int, error) {
	c.buf = p
	failed := c.readable.Read(c.read)
	c.buf = nil
	switch {
	case failed != nil && c.closed.Load():
		return 0, net.ErrClosed
	case failed != nil:
		return 0, failed
	case c.err != nil:
		return 0, c.err
	}
	return c.got, nil
}

// tryRead reads a datagram, if there is one, and says whether that is done.
func (c *quietConn) tryRead(uintptr) bool {
	for {
		if c.got, c.err = unix.Read(c.fd, c.buf); c.err != unix.EINTR {
			return c.err != unix.EAGAIN
		}
	}
}

// Write implements net.Conn.
func (c *quietConn) Write(p []byte) (int, error) {
	one := [1][]byte{p}
	if _, err := c.WriteBatch(one[:]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteBatch sends datagrams, MaxBatch of them at most, in one call of the system. The first n were sent; the error is that of the one
// behind them.
func (c *quietConn) WriteBatch(datagrams [][]byte) (n int, err error) {
	for i, d := range datagrams {
		c.pieces[i].Base = &d[0]
		c.pieces[i].SetLen(len(d))
		c.batch[i].Iov = &c.pieces[i]
		c.batch[i].SetIovlen(1)
	}
	for n < len(datagrams) {
		// It does not wait, so the runtime need not be told.
		some, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&c.batch[n])), uintptr(len(datagrams)-n), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			n += int(some)
		case unix.EINTR:
		case unix.EAGAIN:
			if err := c.waitForRoom(); err != nil {
				return n, err
			}
		default:
			return n, errno
		}
	}
	return n, nil
}

// waitForRoom waits until the socket takes a datagram again, or for WriteWithin.
func (c *quietConn) waitForRoom() error {
	wait := WriteWithin
	if d := c.deadline.Load(); d != nil {
		wait = min(wait, time.Until(*d))
	}
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}, int(max(wait.Milliseconds(), 0)))
	switch {
	case err == unix.EINTR, ready > 0:
		return nil
	case err != nil:
		return err
	}
	return os.ErrDeadlineExceeded
}

// Close implements net.Conn. It returns once no Read is under way; nothing may be written meanwhile.
func (c *quietConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	return errors.Join(c.watch.Close(), unix.Close(c.fd))
}

func (c *quietConn) LocalAddr() net.Addr  { return c.local }
func (c *quietConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *quietConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *quietConn) SetReadDeadline(t time.Time) error { return c.watch.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. It is for the next Write that has to wait.
func (c *quietConn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.deadline.Store(nil)
	} else {
		c.deadline.Store(&t)
	}
	return nil
}
