package manager

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"syscall"
)

// PacketConn is a socket that agents send to.
type PacketConn interface {
	// ReadPacket waits for a datagram. from has no v4-mapped address; to is the address of ours that it was
	// sent to, invalid where the system does not tell or the socket has but one.
	ReadPacket(p []byte) (n int, from netip.AddrPort, to netip.Addr, err error)
	// WritePacket sends a datagram. It leaves from the given address of ours, or from the one that the system
	// chooses where that is invalid. Safe for use by many goroutines.
	WritePacket(p []byte, to netip.AddrPort, from netip.Addr) error
	LocalAddr() netip.AddrPort
	Close() error
}

// listen opens the sockets of an address "host:port". Without a host there are some for IPv4 and some for IPv6, on
// the same port, as far as the system has these families.
func listen(address string, log *slog.Logger) ([]PacketConn, error) {
	conns, err := listenFirst(address, listenOne, log)
	if err != nil {
		return nil, err
	}
	for _, first := range conns {
		for n := receiversPerAddress(); n > 1; n-- {
			c, err := first.(*udpConn).sibling(log)
			if err != nil {
				log.Warn("one socket less for an address", "addr", first.LocalAddr().String(), "err", err)
				break
			}
			if c == nil {
				break // the system has no way to share the load of a port
			}
			conns = append(conns, c)
		}
	}
	return conns, nil
}

// receiversPerAddress is how many sockets share an address: as many as can be read at once.
func receiversPerAddress() int { return min(runtime.GOMAXPROCS(0), maxReceivers) }

// listenFirst opens one socket for each family of an address. one is listenOne but in tests.
func listenFirst(address string, one func(network, address string, log *slog.Logger) (*udpConn, error), log *slog.Logger) ([]PacketConn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %v; write it as host:port, as in 0.0.0.0:1514 or [::]:1514", address, err)
	}
	if host != "" {
		c, err := one("udp", address, log)
		if err != nil {
			return nil, err
		}
		return []PacketConn{c}, nil
	}
	for try := 0; ; try++ {
		c4, err4 := one("udp4", net.JoinHostPort("0.0.0.0", port), log)
		if err4 != nil && !noFamily(err4) {
			return nil, err4
		}
		port6 := port
		if err4 == nil {
			port6 = fmt.Sprint(c4.LocalAddr().Port())
		}
		c6, err6 := one("udp6", net.JoinHostPort("::", port6), log)
		switch {
		case err4 == nil && err6 == nil:
			return []PacketConn{c4, c6}, nil
		case err4 == nil && noFamily(err6):
			log.Info("this host has no IPv6; listening on IPv4 alone")
			return []PacketConn{c4}, nil
		case err4 == nil:
			c4.Close()
			if port6 != port && try < 16 {
				continue // the free IPv4 port was taken on IPv6: take another
			}
			return nil, err6
		case err6 == nil:
			log.Info("this host has no IPv4; listening on IPv6 alone")
			return []PacketConn{c6}, nil
		default:
			return nil, err4
		}
	}
}

func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

func listenOne(network, address string, log *slog.Logger) (*udpConn, error) {
	addr, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; check the name and the port", address, err)
	}
	if addr.IP.To4() != nil {
		network = "udp4" // "udp" would take 0.0.0.0 for all addresses of either family
	}
	u, err := net.ListenUDP(network, addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is in use (%w); stop what holds it (ss -ulpn shows it), or choose another port", address, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: %w; ports below 1024 need root or CAP_NET_BIND_SERVICE", address, err)
	case noFamily(err):
		return nil, fmt.Errorf("listen on %s: %w; this host has no such address: choose one that it has (ip address shows them), or :PORT for all", address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w; check the address", address, err)
	}
	return newUDPConn(u, network, log), nil
}

func newUDPConn(u *net.UDPConn, network string, log *slog.Logger) *udpConn {
	c := &udpConn{udp: u, network: network, local: unmap(u.LocalAddr().(*net.UDPAddr).AddrPort())}
	if c.local.Addr().IsUnspecified() {
		if err := c.askForLocal(); err != nil {
			log.Warn("answers may leave from another address than agents wrote to", "listen", c.local.String(), "err", err,
				"remedy", "list this host's addresses with --listen where it has several")
		}
	}
	if err := u.SetReadBuffer(readBuffer); err != nil {
		log.Warn("receive buffer not set", "listen", c.local.String(), "err", err)
	}
	c.buffer = c.forceReadBuffer(readBuffer)
	log.Debug("socket open", "addr", c.local.String(), "buffer_asked_bytes", readBuffer, "buffer_granted_bytes", c.buffer)
	return c
}

// udpConn is a PacketConn of the system.
type udpConn struct {
	udp     *net.UDPConn
	network string // that it was opened with, as package net calls it
	local   netip.AddrPort
	buffer  int  // bytes of received datagrams that the system keeps for us
	tells   bool // the system tells the local address of each datagram
	oob     []byte
}

func (c *udpConn) LocalAddr() netip.AddrPort { return c.local }
func (c *udpConn) Close() error              { return c.udp.Close() }

// ReadPacket may be called by one goroutine.
func (c *udpConn) ReadPacket(p []byte) (int, netip.AddrPort, netip.Addr, error) {
	var to netip.Addr
	if !c.tells {
		n, from, err := c.udp.ReadFromUDPAddrPort(p)
		return n, unmap(from), to, err
	}
	n, oobn, _, from, err := c.udp.ReadMsgUDPAddrPort(p, c.oob)
	if err == nil {
		to = parseLocal(c.oob[:oobn])
	}
	return n, unmap(from), to, err
}

func (c *udpConn) WritePacket(p []byte, to netip.AddrPort, from netip.Addr) error {
	if c.tells && from.IsValid() {
		var space [64]byte
		_, _, err := c.udp.WriteMsgUDPAddrPort(p, appendLocal(space[:0], from), to)
		return err
	}
	_, err := c.udp.WriteToUDPAddrPort(p, to)
	return err
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
