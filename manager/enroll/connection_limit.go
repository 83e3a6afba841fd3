package enroll

import (
	"container/list"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connLimiter knows the addresses that connect: how many connections each has, and how often it came and guessed of late. An
// IPv6 host has a whole /64, which counts as one address.
//
// Where all places are taken, who has waited longest without a word makes room: idle connections, however many, do not keep
// out an agent, which needs a moment only. Where all have begun to speak, who has done so for spareFor without a whole request makes
// room, and else the newcomer goes: if it pushed out those whose handshake is under way, a crowd would have each begun and few finished.
type connLimiter struct {
	mu       sync.Mutex
	silent   list.List // of *stay that have said nothing yet, oldest first
	speaking list.List // of *stay that have, but no whole request, in the order in which they began
	asked    int       // those that have sent theirs
	from     map[netip.Prefix]*client
	rest     client // all addresses together that came when maxClients had to be remembered
}

// stay is a connection that was let in.
type stay struct {
	conn   io.Closer
	of     *client
	in     *list.List    // silent or speaking
	place  *list.Element // in it; nil once it has asked or was put out
	spoke  time.Time
	putOut bool // it made room for another
	left   bool
}

type client struct {
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

func newConnLimiter() *connLimiter { return &connLimiter{from: make(map[netip.Prefix]*client)} }

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
func (v *connLimiter) enter(conn io.Closer, ip netip.Addr, now time.Time) (*stay, reason) {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := v.get(prefixOf(ip), now)
	if g != &v.rest {
		g.connects.drain(now, connectRate)
		g.guesses.drain(now, guessRate)
	}
	switch {
	case g != &v.rest && g.open >= maxOpenFrom:
		return nil, tooMany
	case g != &v.rest && g.guesses.used > guessBurst-1:
		return nil, guessing
	case g != &v.rest && g.connects.used > connectBurst-1:
		return nil, tooFast
	}
	if v.silent.Len()+v.speaking.Len()+v.asked >= maxOpen {
		s := v.idle(now)
		if s == nil {
			return nil, tooMany
		}
		s.putOut = true
		s.conn.Close()
		v.free(s)
	}
	if g != &v.rest {
		g.connects.used++
	}
	g.open++
	s := &stay{conn: conn, of: g, in: &v.silent}
	s.place = s.in.PushBack(s)
	return s, 0
}

// idle is who is to make room, or nil. v.mu is held.
func (v *connLimiter) idle(now time.Time) *stay {
	if oldest := v.silent.Front(); oldest != nil {
		return oldest.Value.(*stay)
	}
	if oldest := v.speaking.Front(); oldest != nil {
		if s := oldest.Value.(*stay); now.Sub(s.spoke) >= spareFor {
			return s
		}
	}
	return nil
}

// speaks notes that something came from a connection.
func (v *connLimiter) speaks(s *stay, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.place == nil || s.in == &v.speaking {
		return
	}
	s.in.Remove(s.place)
	s.in, s.spoke = &v.speaking, now
	s.place = s.in.PushBack(s)
}

// listened is a connection that says when the first bytes have come.
type listened struct {
	net.Conn
	heard func() // nil once it was called
}

func (l *listened) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 && l.heard != nil {
		l.heard()
		l.heard = nil
	}
	return n, err
}

// ask notes that a connection has sent a whole request, and stays until it is answered; it says false where it was put out.
func (v *connLimiter) ask(s *stay) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.place == nil {
		return false
	}
	s.in.Remove(s.place)
	s.place = nil
	v.asked++
	return true
}

// leave lets go of a connection.
func (v *connLimiter) leave(s *stay) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.free(s)
}

// free gives back the place of a connection, once. v.mu is held.
func (v *connLimiter) free(s *stay) {
	if s.left {
		return
	}
	s.left = true
	if s.place != nil {
		s.in.Remove(s.place)
		s.place = nil
	} else {
		v.asked--
	}
	s.of.open--
}

func (v *connLimiter) wasPutOut(s *stay) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return s.putOut
}

// guessed notes a wrong password or token.
func (v *connLimiter) guessed(ip netip.Addr, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if g := v.get(prefixOf(ip), now); g != &v.rest {
		g.guesses.drain(now, guessRate)
		g.guesses.used++
	}
}

// get finds or makes a client. Where there are too many, those are forgotten that have no connection and nothing to wait for: an
// address that guessed is remembered for as long as it is kept out, however many others come. Where all are of that kind the
// newcomers are not told apart; what holds for all passwords (wrongBurst) and connections (maxOpen) bounds them. v.mu is held.
func (v *connLimiter) get(p netip.Prefix, now time.Time) *client {
	g := v.from[p]
	if g != nil {
		return g
	}
	if len(v.from) >= maxClients && now.Sub(v.rest.connects.at).Abs() >= forgetEvery {
		v.rest.connects.at = now
		for p, g := range v.from {
			g.connects.drain(now, connectRate)
			g.guesses.drain(now, guessRate)
			if g.open == 0 && g.connects.used == 0 && g.guesses.used == 0 {
				delete(v.from, p)
			}
		}
	}
	if len(v.from) >= maxClients {
		return &v.rest
	}
	g = &client{connects: bucket{at: now}, guesses: bucket{at: now}}
	v.from[p] = g
	return g
}
