package listen

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// udpConn is a PacketConn of the system. Its socket is a blocking one that a thread of its own waits on, not one of
// Go's poller: the poller wakes a thread for every datagram that comes, also while nobody waits for one, and on a
// virtual machine a wake-up can cost more than all the work on the datagram.
type udpConn struct {
	network string // that it was opened with, as package net calls it
	local   netip.AddrPort
	buffer  int  // bytes of received datagrams that the system keeps for us
	six     bool // its addresses have the form of IPv6
	tells   bool // the system tells the local address of each datagram

	use    sync.RWMutex // held for reading while fd is used
	closed atomic.Bool
	fd     int

	batch    *batch
	coalesce coalescer
}

// newUDPConn takes the socket of u, which is closed.
func newUDPConn(u *net.UDPConn, network string, log *slog.Logger) (*udpConn, error) {
	c := &udpConn{network: network, local: Unmap(u.LocalAddr().(*net.UDPAddr).AddrPort())}
	fd, err := detach(u)
	if err != nil {
		return nil, err
	}
	c.fd = fd
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("getsockname", err)
	}
	_, c.six = name.(*unix.SockaddrInet6)
	if c.local.Addr().IsUnspecified() {
		if err := c.askForLocal(); err != nil {
			log.Warn("answers may leave from another address than agents wrote to", "listen", c.local.String(), "err", err,
				"remedy", "name each of this host's addresses with --listen, if it has several")
		}
	}
	if c.buffer, err = setReadBuffer(fd, readBuffer); err != nil {
		log.Warn("receive buffer not set", "listen", c.local.String(), "err", err)
	}
	c.batch, c.coalesce = newBatch(c.tells), coalescer{room: c.buffer / 4}
	log.Debug("socket open", "addr", c.local.String(), "buffer_asked_bytes", readBuffer, "buffer_granted_bytes", c.buffer)
	return c, nil
}

// detach takes a socket out of Go's poller, makes it a blocking one and closes u.
func detach(u *net.UDPConn) (fd int, err error) {
	defer u.Close()
	raw, err := u.SyscallConn()
	if err != nil {
		return -1, err
	}
	var inner error
	if err := raw.Control(func(was uintptr) { fd, inner = unix.FcntlInt(was, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	if inner != nil {
		return -1, os.NewSyscallError("dup", inner)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// askForLocal has the system tell with each datagram to which address of ours it was sent (ip(7), IP_PKTINFO;
// RFC 3542, 6).
func (c *udpConn) askForLocal() (err error) {
	if c.six {
		err = unix.SetsockoptInt(c.fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	} else {
		err = unix.SetsockoptInt(c.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	c.tells = err == nil
	return err
}

// setReadBuffer sets the receive buffer, past the system's limit where the process may, and returns what is granted in
// bytes.
func setReadBuffer(fd, size int) (granted int, err error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
	granted, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return granted, errors.Join(err, err2)
}

// sibling opens another socket on c's address, among which the system spreads senders by their address and port
// (socket(7), SO_REUSEPORT). c was bound without sharing, so the port was no one else's.
func (c *udpConn) sibling(log *slog.Logger) (PacketConn, error) {
	share := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }
	if err := c.control(share); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var inner error
		err := raw.Control(func(fd uintptr) { inner = share(int(fd)) })
		return errors.Join(err, inner)
	}}
	u, err := lc.ListenPacket(context.Background(), c.network, c.local.String())
	if err != nil {
		return nil, err
	}
	return newUDPConn(u.(*net.UDPConn), c.network, log)
}

// control runs f with the socket, which is not closed meanwhile.
func (c *udpConn) control(f func(fd int) error) error {
	c.use.RLock()
	defer c.use.RUnlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	return f(c.fd)
}

func (c *udpConn) LocalAddr() netip.AddrPort { return c.local }

// Close ends a read that waits.
func (c *udpConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	unix.Shutdown(c.fd, unix.SHUT_RD) // wakes the reader; that it says ENOTCONN is no matter
	c.use.Lock()
	defer c.use.Unlock()
	return os.NewSyscallError("close", unix.Close(c.fd))
}

// ReadBatch reads what has come, after a pause if much comes.
func (c *udpConn) ReadBatch(ps []Datagram) (n int, err error) {
	if d := c.coalesce.pause(time.Now()); d > 0 {
		// Not time.Sleep: its timer is one of the poller's, which takes a second thread.
		t := unix.NsecToTimespec(int64(d))
		unix.Nanosleep(&t, nil)
	}
	c.use.RLock()
	defer c.use.RUnlock()
	for {
		if c.closed.Load() {
			return 0, net.ErrClosed
		}
		n, err = c.batch.read(c.fd, ps, !c.coalesce.more)
		if err != unix.EINTR {
			break
		}
	}
	switch {
	case c.closed.Load(): // what was read is then no datagram
		return 0, net.ErrClosed
	case err == unix.EAGAIN:
		n = 0
	case err != nil:
		return 0, os.NewSyscallError("recvmmsg", err)
	}
	c.coalesce.took(ps[:n], len(ps))
	return n, nil
}

// ReadPacket copies a datagram to p. For one goroutine.
func (c *udpConn) ReadPacket(p []byte) (int, netip.AddrPort, netip.Addr, error) {
	var one [1]Datagram
	for n := 0; n == 0; {
		var err error
		if n, err = c.ReadBatch(one[:]); err != nil {
			return 0, netip.AddrPort{}, netip.Addr{}, err
		}
	}
	return copy(p, one[0].Data), one[0].From, one[0].To, nil
}

func (c *udpConn) WritePacket(p []byte, to netip.AddrPort, from netip.Addr) error {
	var dest unix.Sockaddr
	if c.six {
		zone, _ := strconv.ParseUint(to.Addr().Zone(), 10, 32)
		dest = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: uint32(zone)}
	} else {
		dest = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	var space [64]byte
	oob := space[:0]
	if c.tells && from.IsValid() {
		oob = appendLocal(oob, from)
	}
	return c.control(func(fd int) error {
		_, err := unix.SendmsgBuffers(fd, [][]byte{p}, oob, dest, unix.MSG_DONTWAIT)
		return os.NewSyscallError("sendmsg", err)
	})
}

// parseLocal reads the local address out of a datagram's control messages.
func parseLocal(oob []byte) netip.Addr {
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[8:12])) // ifindex, spec_dst, addr
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])).Unmap() // addr, ifindex
		}
		oob = rest
	}
	return netip.Addr{}
}

// appendLocal appends the control message that makes a datagram leave from an address of ours.
func appendLocal(b []byte, from netip.Addr) []byte {
	if from.Is4() {
		a := from.As4()
		b = appendHeader(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		b = append(b, 0, 0, 0, 0)
		b = append(b, a[:]...)
		b = append(b, 0, 0, 0, 0)
	} else {
		a := from.As16()
		b = appendHeader(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		b = append(b, a[:]...)
		b = append(b, 0, 0, 0, 0)
	}
	for len(b) < unix.CmsgSpace(len(b)-unix.SizeofCmsghdr) {
		b = append(b, 0)
	}
	return b
}

// appendHeader appends a cmsghdr: the length in the size of a pointer, level, type.
func appendHeader(b []byte, level, kind int32, size int) []byte {
	if unix.SizeofPtr == 8 {
		b = binary.NativeEndian.AppendUint64(b, uint64(unix.CmsgLen(size)))
	} else {
		b = binary.NativeEndian.AppendUint32(b, uint32(unix.CmsgLen(size)))
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	return binary.NativeEndian.AppendUint32(b, uint32(kind))
}
