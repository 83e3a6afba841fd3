package syslog

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// readUDP takes datagrams, one message each, until the socket is closed.
func (r *receiver) readUDP(ctx context.Context, conn *net.UDPConn) error {
	buf := make([]byte, maxMessage)
	var last netip.Addr // whose location is known
	var location string
	add := func(m []byte) error {
		r.events.Add('2', location, m)
		return nil
	}
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("syslog: %w", err)
		}
		if addr := from.Addr().Unmap().WithZone(""); addr != last {
			if !r.allowed(addr) {
				continue
			}
			last, location = addr, r.location(addr)
		}
		r.pass(location, buf[:n], add)
	}
}
