package enroll

import (
	"net/netip"
	"sync"
	"time"
)

// visitors are the addresses that connect: how many connections each has, and how often it came and guessed of late. An
// IPv6 host has a whole /64, which counts as one address.
type visitors struct {
	mu   sync.Mutex
	open int
	from map[netip.Prefix]*visitor
}

type visitor struct {
	open     int
	connects bucket
	guesses  bucket
}

// bucket counts what happens at a bounded rate. It is full at first.
type bucket struct {
	used float64
	at   time.Time
}

// drain lets what was used become free again.
func (b *bucket) drain(now time.Time, rate float64) {
	b.used = max(0, b.used-rate*now.Sub(b.at).Seconds())
	b.at = now
}

func newVisitors() *visitors { return &visitors{from: make(map[netip.Prefix]*visitor)} }

func prefixOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}

// enter lets a connection in, or says why not. leave is called once for each that was let in.
func (v *visitors) enter(ip netip.Addr, now time.Time) reason {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open >= maxOpen {
		return tooMany
	}
	g := v.get(prefixOf(ip), now)
	g.connects.drain(now, connectRate)
	g.guesses.drain(now, guessRate)
	switch {
	case g.open >= maxOpenFrom:
		return tooMany
	case g.guesses.used > guessBurst-1:
		return guessing
	case g.connects.used > connectBurst-1:
		return tooFast
	}
	g.connects.used++
	g.open++
	v.open++
	return 0
}

func (v *visitors) leave(ip netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open--
	if g := v.from[prefixOf(ip)]; g != nil {
		g.open--
	}
}

// guessed notes a wrong password or token.
func (v *visitors) guessed(ip netip.Addr, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := v.get(prefixOf(ip), now)
	g.guesses.drain(now, guessRate)
	g.guesses.used++
}

// get finds or makes a visitor. Where there are too many, those are forgotten that have no connection. v.mu is held.
func (v *visitors) get(p netip.Prefix, now time.Time) *visitor {
	g := v.from[p]
	if g != nil {
		return g
	}
	if len(v.from) >= maxVisitors {
		for p, g := range v.from {
			if g.open == 0 {
				delete(v.from, p)
			}
		}
	}
	g = &visitor{connects: bucket{at: now}, guesses: bucket{at: now}}
	v.from[p] = g
	return g
}
