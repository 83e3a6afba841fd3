//go:build !linux

package udp

import "net"

// quiet is for Linux.
func quiet(conn net.Conn) net.Conn { return conn }
