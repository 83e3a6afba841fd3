//go:build !linux

package listen

import (
	"log/slog"
	"net"
	"net/netip"
)

// udpConn is a PacketConn of the system. Elsewhere than on Linux one socket serves an address, one datagram is read at
// a time, and the system chooses the address that answers leave from; a host with several lists them with --listen.
type udpConn struct {
	udp    *net.UDPConn
	local  netip.AddrPort
	buffer int // bytes of received datagrams that the system keeps for us
}

func newUDPConn(u *net.UDPConn, network string, log *slog.Logger) (*udpConn, error) {
	c := &udpConn{udp: u, local: Unmap(u.LocalAddr().(*net.UDPAddr).AddrPort()), buffer: readBuffer}
	if err := u.SetReadBuffer(readBuffer); err != nil {
		log.Warn("receive buffer not set", "listen", c.local.String(), "err", err)
	}
	return c, nil
}

func (c *udpConn) LocalAddr() netip.AddrPort { return c.local }
func (c *udpConn) Close() error              { return c.udp.Close() }

// ReadPacket may be called by one goroutine.
func (c *udpConn) ReadPacket(p []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, from, err := c.udp.ReadFromUDPAddrPort(p)
	return n, Unmap(from), netip.Addr{}, err
}

func (c *udpConn) WritePacket(p []byte, to netip.AddrPort, _ netip.Addr) error {
	_, err := c.udp.WriteToUDPAddrPort(p, to)
	return err
}

func (c *udpConn) sibling(*slog.Logger) (PacketConn, error) { return nil, nil }
