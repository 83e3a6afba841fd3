package listen

import (
	"fmt"
	"net"
	"strings"
)

// The networks.
const (
	UDP = "udp"
	TCP = "tcp"
)

// ParseAddress reads "host:port", perhaps with udp:// or tcp:// in front; without it is UDP.
func ParseAddress(text string) (network, address string, err error) {
	network, address = UDP, text
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if network, address = strings.ToLower(scheme), rest; network != UDP && network != TCP {
			return "", "", fmt.Errorf("listen: %q: ossecd does not know %q; write udp://HOST:PORT or tcp://HOST:PORT", text, scheme+"://")
		}
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", fmt.Errorf("listen: %q is not host:port, as in 0.0.0.0:1514, tcp://[::]:1514 or :1514", text)
	}
	if _, err := net.LookupPort(network, port); err != nil {
		return "", "", fmt.Errorf("listen: %q: %q is not a port; use 0 to 65535", text, port)
	}
	return network, address, nil
}
