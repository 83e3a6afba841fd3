package manager

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// askForLocal has the system tell with each datagram to which address of ours it was sent (ip(7), IP_PKTINFO;
// RFC 3542, 6).
func (c *udpConn) askForLocal() error {
	err := c.control(func(fd int) error {
		if c.local.Addr().Is4() {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if err == nil {
		c.tells, c.oob = true, make([]byte, 128)
	}
	return err
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
	return newUDPConn(u.(*net.UDPConn), c.network, log), nil
}

// forceReadBuffer sets the receive buffer past the system's limit where the process may, and returns what is
// granted in bytes.
func (c *udpConn) forceReadBuffer(size int) (granted int) {
	c.control(func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
		n, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		granted = n
		return errors.Join(err, err2)
	})
	return granted
}

func (c *udpConn) control(f func(fd int) error) error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
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
