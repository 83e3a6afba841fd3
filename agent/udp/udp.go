// Package udp makes the sockets of an agent: each is connected to one manager.
package udp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// MaxBatch is how many datagrams WriteBatch takes.
const MaxBatch = 16

// WriteWithin bounds a write to a socket that takes nothing.
const WriteWithin = 500 * time.Millisecond

// BatchWriter is a connection that takes several datagrams at once, MaxBatch of them at most. The first n were sent; the error is that of
// the one behind them.
type BatchWriter interface {
	WriteBatch(datagrams [][]byte) (n int, err error)
}

// Dial makes a socket; network is "udp" or "udp4". It sends from local, or where that is nil from where the system chooses. On Linux it is a
// BatchWriter.
func Dial(ctx context.Context, network, address string, local *net.UDPAddr) (net.Conn, error) {
	d := new(net.Dialer)
	if local != nil {
		d.LocalAddr = local
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return quiet(conn), nil
}

// ParseLocal reads ADDRESS or ADDRESS:PORT, an address of this host; nil for an empty text.
func ParseLocal(text string) (*net.UDPAddr, error) {
	if text == "" {
		return nil, nil
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)), nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not ADDRESS or ADDRESS:PORT; use an address of this host, as 192.0.2.7 or [2001:db8::7]:2514", text)
	}
	return net.UDPAddrFromAddrPort(at), nil
}
