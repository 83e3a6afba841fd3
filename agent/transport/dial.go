package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"ossecd/agent/tcp"
	"ossecd/agent/udp"
)

// Dialer makes sockets; network is "udp", "udp4" or "tcp".
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// From makes sockets that send from local, or where that is nil from where the system chooses.
func From(local *net.UDPAddr) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == TCP {
			return tcp.DialStream(ctx, address, local)
		}
		return udp.Dial(ctx, network, address, local)
	}
}

// To makes a socket to a manager; nobody need be there over UDP. pass counts how often all managers were tried in vain.
//
// A name can have addresses of both families with the manager on one of them alone. Since a datagram socket is made whether or not anyone
// is there, every other pass asks for IPv4. Over TCP the system tries all addresses by itself.
func (d Dialer) To(ctx context.Context, a Address, pass int) (net.Conn, error) {
	if a.Network == TCP {
		stream, err := d(ctx, TCP, a.HostPort)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w: nothing listens there on TCP; a manager that takes UDP alone is named as udp://%s", err, a.HostPort)
		}
		if err != nil {
			return nil, err
		}
		return tcp.New(stream), nil
	}
	if pass%2 == 1 {
		if conn, err := d(ctx, "udp4", a.HostPort); err == nil {
			return conn, nil
		}
	}
	return d(ctx, UDP, a.HostPort)
}
