package keys

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Address is the IP field of a key: from where its agent may send (docs/protocol.md, "client.keys"). Addresses
// can be compared with ==. The zero Address is no address and contains none.
type Address struct {
	text   string       // as in the file
	prefix netip.Prefix // invalid for "any"
	any    bool
	not    bool
}

// maxAddress is the longest address in bytes, with room for a v4-mapped one and a mask.
const maxAddress = 64

// Any is the address from which an agent may send wherever it is.
var Any = Address{text: "any", any: true}

var errAddress = errors.New("is not an address; use any, an address, or a network such as 10.0.0.0/8 or 2001:db8::/32")

// ParseAddress reads "any", an IPv4 or IPv6 address, or one with "/PREFIX" or an IPv4 "/MASK" behind it; with "!"
// in front it is everything else. A v4-mapped IPv6 address is taken for the IPv4 address.
func ParseAddress(s string) (Address, error) {
	a := Address{text: s}
	fault := func() (Address, error) { return Address{}, fmt.Errorf("%s %w", shown(a.text), errAddress) }
	if len(s) > maxAddress {
		return fault()
	}
	s, a.not = strings.CutPrefix(s, "!")
	if s == "any" {
		a.any = true
		return a, nil
	}
	host, bits, hasBits := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return fault()
	}
	mapped := ip.Is4In6()
	ip = ip.Unmap()
	n := ip.BitLen()
	switch {
	case hasBits && ip.Is4() && strings.Contains(bits, "."):
		if n, err = maskBits(bits); err != nil {
			return fault()
		}
	case hasBits:
		if n, err = strconv.Atoi(bits); err != nil || strings.TrimLeft(bits, "0123456789") != "" {
			return fault()
		}
		if mapped {
			n -= 96
		}
		if n < 0 || n > ip.BitLen() {
			return fault()
		}
	}
	a.prefix = netip.PrefixFrom(ip, n).Masked()
	return a, nil
}

// maskBits counts the ones of a mask such as 255.255.0.0.
func maskBits(mask string) (int, error) {
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() {
		return 0, errAddress
	}
	b := m.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := 0
	for v&(1<<31) != 0 {
		v <<= 1
		n++
	}
	if v != 0 {
		return 0, errAddress
	}
	return n, nil
}

// Contains says whether an agent may send from ip.
func (a Address) Contains(ip netip.Addr) bool {
	if a.text == "" || !ip.IsValid() {
		return false
	}
	return (a.any || a.prefix.Contains(ip.Unmap().WithZone(""))) != a.not
}

// Single is the one address from which the agent sends, if there is just one.
func (a Address) Single() (netip.Addr, bool) {
	if a.any || a.not || !a.prefix.IsSingleIP() {
		return netip.Addr{}, false
	}
	return a.prefix.Addr(), true
}

// NeedsID says whether an agent with this address writes its "!ID!" in front of each datagram. In Wazuh's dialect
// all IPv6 addresses do (docs/protocol.md, "The secured message").
func (a Address) NeedsID(wazuh bool) bool {
	ip, single := a.Single()
	return !single || wazuh && ip.Is6()
}

// String is the address as in the file.
func (a Address) String() string { return a.text }

// Bare is the address without the "/PREFIX", as it stands in messages.
func (a Address) Bare() string {
	host, _, _ := strings.Cut(a.text, "/")
	return host
}
