package syslog

import (
	"net/netip"
	"slices"
)

// DefaultListen is where syslog is sent by habit.
const DefaultListen = ":514"

// Senders are those whose messages are taken.
type Senders struct {
	Allow []netip.Prefix
	Deny  []netip.Prefix // wins
}

// Has says whether the messages of an address are taken.
func (s *Senders) Has(from netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(from) }
	return slices.ContainsFunc(s.Allow, contains) && !slices.ContainsFunc(s.Deny, contains)
}

// ParseSenders reads an address, or a CIDR block, of senders.
func ParseSenders(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}
