//go:build !linux

package manager

import (
	"log/slog"
	"net/netip"
)

// Elsewhere than on Linux one socket serves an address, and the system chooses the address that answers leave from. A host with several lists
// them with --listen.

func (c *udpConn) sibling(*slog.Logger) (PacketConn, error) { return nil, nil }

func (c *udpConn) askForLocal() error { return nil }

func (c *udpConn) forceReadBuffer(size int) (granted int) { return size }

func parseLocal([]byte) netip.Addr { return netip.Addr{} }

func appendLocal(b []byte, _ netip.Addr) []byte { return b }
