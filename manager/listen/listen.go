// Package listen is the manager's sockets, and the way back for answers. Those for UDP read datagrams in batches, and let them gather while
// many come; connections over TCP cost little while they are idle. It knows nothing of agents.
package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"syscall"

	"ossecd/proto"
)

const (
	// readBuffer is asked for on every socket, so that a burst is kept while we are not scheduled: 16 MB is a
	// third of a second at 100,000 small datagrams a second. The system may grant less.
	readBuffer = 16 << 20

	// maxReceivers is how many sockets share an address at most. Each costs its buffers.
	maxReceivers = 16

	// BatchSize is how many datagrams are read at once.
	BatchSize = 32
)

// PacketConn is a socket that agents send to.
type PacketConn interface {
	// ReadPacket waits for a datagram. from has no v4-mapped address; to is the address of ours that it was
	// sent to, invalid where the system does not tell or the socket has but one.
	ReadPacket(p []byte) (n int, from netip.AddrPort, to netip.Addr, err error)
	Writer
	LocalAddr() netip.AddrPort
	Close() error
}

// Writer sends packets. It is safe for use by many goroutines.
type Writer interface {
	// WritePacket sends a packet. It leaves from the given address of ours, or from the one that the system chooses where that is invalid.
	WritePacket(p []byte, to netip.AddrPort, from netip.Addr) error
}

// BatchReader is a PacketConn that can read several datagrams at once.
type BatchReader interface {
	// ReadBatch waits for a datagram, and reads as many as have come up to len(ds). After it filled ds it does not
	// wait, and may return 0. For one goroutine.
	ReadBatch(ds []Datagram) (n int, err error)
}

// Datagram is one as ReadPacket gives it. It may be used until the next call.
type Datagram struct {
	Data []byte
	From netip.AddrPort
	To   netip.Addr
}

// oneByOne makes a BatchReader of any PacketConn.
type oneByOne struct {
	conn PacketConn
	b    []byte
}

func (o *oneByOne) ReadBatch(ps []Datagram) (int, error) {
	n, from, to, err := o.conn.ReadPacket(o.b)
	if err != nil {
		return 0, err
	}
	ps[0] = Datagram{o.b[:n], from, to}
	return 1, nil
}

// Batches is the way to read several datagrams of conn at once.
func Batches(conn PacketConn) BatchReader {
	if b, ok := conn.(BatchReader); ok {
		return b
	}
	return &oneByOne{conn, make([]byte, proto.MaxDatagram+1)}
}

// Open opens the sockets of an address "host:port". Without a host there are some for IPv4 and some for IPv6, on
// the same port, as far as the system has these families.
func Open(address string, log *slog.Logger) ([]PacketConn, error) {
	conns, err := listenFirst(address, listenOne, log)
	if err != nil {
		return nil, err
	}
	for _, first := range conns {
		for n := receiversPerAddress(); n > 1; n-- {
			c, err := first.(*udpConn).sibling(log)
			if err != nil {
				log.Warn("an address has fewer sockets than it should", "addr", first.LocalAddr().String(), "err", err)
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
			log.Info("this host has no IPv6; listening on IPv4 only")
			return []PacketConn{c4}, nil
		case err4 == nil:
			c4.Close()
			if port6 != port && try < 16 {
				continue // the free IPv4 port was taken on IPv6: take another
			}
			return nil, err6
		case err6 == nil:
			log.Info("this host has no IPv4; listening on IPv6 only")
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
	return newUDPConn(u, network, log)
}

// Buffer is how many bytes of received datagrams the system keeps for a socket; 0 where it does not tell.
func Buffer(conn PacketConn) int {
	if u, ok := conn.(*udpConn); ok {
		return u.buffer
	}
	return 0
}

// CloseAll closes sockets.
func CloseAll(conns []PacketConn) {
	for _, c := range conns {
		c.Close()
	}
}

// Unmap is the address without the form of IPv6 that an IPv4 address can have.
func Unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
