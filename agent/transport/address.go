// Package transport finds the way to a manager: what an address says of it, and sockets. Whichever way it is, a socket sends one message
// with each Write and takes one with each Read.
package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"ossecd/proto"
)

// DefaultPort is that of a manager.
const DefaultPort = "1514"

// The ways.
const (
	UDP = "udp"
	TCP = "tcp"
)

// Address is where a manager is, and the way there.
type Address struct {
	Network  string // UDP or TCP
	HostPort string
}

// String is the address as people write it.
func (a Address) String() string { return a.Network + "://" + a.HostPort }

// BareNetwork is the way to an address that does not name one: OSSEC knows UDP alone, and Wazuh's managers listen on TCP.
func BareNetwork(d proto.Dialect) string {
	if d == proto.Wazuh {
		return TCP
	}
	return UDP
}

// Parse reads HOST or HOST:PORT, perhaps with udp:// or tcp:// in front; bare is the way where that is not said. An IPv6 address may stand
// with or without brackets; with a port it needs them.
func Parse(m, bare string) (Address, error) {
	a, text := Address{Network: bare}, m
	if scheme, rest, ok := strings.Cut(m, "://"); ok {
		if a.Network, text = strings.ToLower(scheme), rest; a.Network != UDP && a.Network != TCP {
			return Address{}, fmt.Errorf("manager: %q: ossecd does not know %q; write udp://HOST:PORT or tcp://HOST:PORT", m, scheme+"://")
		}
	}
	host, port := text, DefaultPort
	switch {
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		host = text[1 : len(text)-1]
		if !strings.Contains(host, ":") {
			return Address{}, fmt.Errorf("manager: %q: only an IPv6 address stands in brackets", m)
		}
	case strings.HasPrefix(text, "[") || strings.Count(text, ":") == 1:
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return Address{}, fmt.Errorf("manager: %q is not HOST or HOST:PORT; write an IPv6 address with a port as [2001:db8::1]:1514", m)
		}
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.Contains(host, ":") {
		return Address{}, fmt.Errorf("manager: %q is not HOST or HOST:PORT; write an IPv6 address with a port as [2001:db8::1]:1514", m)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Address{}, fmt.Errorf("manager: %q: the port %q is not a number from 1 to 65535; write HOST or HOST:PORT", m, port)
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return Address{}, fmt.Errorf("manager: %q names no host; write HOST or HOST:PORT", m)
	}
	a.HostPort = net.JoinHostPort(strings.ToLower(host), port)
	return a, nil
}
