package link

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// DefaultPort is that of a manager.
const DefaultPort = "1514"

// ParseAddress makes HOST or HOST:PORT a HOST:PORT. An IPv6 address may stand with or without brackets; with a
// port it needs them.
func ParseAddress(m string) (string, error) {
	host, port := m, DefaultPort
	switch {
	case strings.HasPrefix(m, "[") && strings.HasSuffix(m, "]"):
		host = m[1 : len(m)-1]
		if !strings.Contains(host, ":") {
			return "", fmt.Errorf("manager: %q: only an IPv6 address stands in brackets", m)
		}
	case strings.HasPrefix(m, "[") || strings.Count(m, ":") == 1:
		var err error
		if host, port, err = net.SplitHostPort(m); err != nil {
			return "", fmt.Errorf("manager: %q is not HOST or HOST:PORT; write an IPv6 address with a port as [2001:db8::1]:1514", m)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("manager: %q: the port %q is not a number from 1 to 65535", m, port)
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return "", fmt.Errorf("manager: %q names no host; write HOST or HOST:PORT", m)
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}
