package channel

import (
	"math"
	"net/netip"
	"time"

	"ossecd/proto"
)

// cloneDetector watches for two living senders with one key. One sender's counts only rise, whatever address it has; a second one's
// run below or into them. What shows it is an authentic message, called a sign here, which the one sender cannot have sent
// since its last fresh one:
//
//   - its count was taken already, in a message that was another (a repeated datagram is the same, to the random number); or
//   - its count is too old and yet was never seen, as those between the end of one row of counts and the beginning of the
//     next: each start of an ossecd begins a new row.
//
// Someone without the key can repeat messages, which gives no signs, and hold them back; so may a network, for a moment. A
// sender that was restored from a backup gives signs, but the one it was before sends no more. So signs count only where fresh messages of
// another source came between them, for some time.
//
// Two that are idle give signs only with their keepalives. So an agent of ours that may be one of two, which is where it was
// heard last, is asked for one: after a sign, and where a new row begins elsewhere, as after a restart, or when a clone starts.
//
// The peer's mu guards it.
type cloneDetector struct {
	tags [tagged]byte // by count: what tells its message from others; 0 where that is not known
	top  uint64       // the highest count that was tagged

	rowAfter uint64 // the last count before the present row; 0: not known
	row      uint64 // the first of it
	rowSince time.Time

	fresh  netip.AddrPort // the source of the last fresh message
	sign   netip.AddrPort // of the last sign
	since  time.Time      // of the first sign of those that count
	last   time.Time      // of the last one
	signs  int
	turned bool      // a fresh message came since the last sign
	quiet  time.Time // nothing is reported before
	asked  time.Time // when it was asked last whether it is there
}

const (
	tagged = 1024 // under proto.WindowWidth

	signsNeeded = 3
	signsOver   = 10 * time.Second // the time from the first to the last of them, at least
	signsWithin = 30 * time.Minute // between two of them, at most
	rowSettled  = 2 * time.Second  // what comes earlier in a row may be of the one before, late
	clonesEvery = 10 * time.Minute // how often a pair is reported at most
	pressMost   = 3                // how often an address that has shown nothing is asked between two keepalives
	askEvery    = time.Second      // how often one of a pair is asked whether it is there, at most
)

// suspicion is what a message gives rise to.
type suspicion uint8

const (
	none      suspicion = iota
	maybeTwo            // another one may live where the agent was heard last
	surelyTwo           // it is time to report that fresh and sign are two
)

// note takes an authentic message.
func (t *cloneDetector) note(m *proto.Message, verdict proto.Verdict, from netip.AddrPort, now time.Time) suspicion {
	v := m.Counter.Value()
	switch verdict {
	case proto.Fresh:
		begins := t.freshOne(v, tagOf(m), now)
		moved := t.fresh.IsValid() && t.fresh != from
		t.fresh, t.turned = from, true
		if begins && moved {
			return maybeTwo
		}
		return none
	case proto.Late:
		if t.top-v < tagged {
			t.tags[v%tagged] = tagOf(m)
		}
		return none
	case proto.Repeated:
		tag := &t.tags[v%tagged]
		if v > t.top || t.top-v >= tagged || *tag == 0 || *tag == tagOf(m) {
			return none
		}
		*tag = 0 // whoever repeats this one shows nothing
	default:
		if t.rowAfter == 0 || v <= t.rowAfter || v >= t.row || now.Sub(t.rowSince) < rowSettled {
			return none
		}
		t.rowAfter = v // likewise
	}
	return t.signOf(from, now)
}

// freshOne tags a count above all others, forgets the tags of those that it skipped, and says whether a row begins.
func (t *cloneDetector) freshOne(v uint64, tag byte, now time.Time) (begins bool) {
	begins = t.top == 0 || v-t.top > proto.WindowWidth
	if begins {
		t.rowAfter, t.row, t.rowSince = t.top, v, now
	}
	if v-t.top >= tagged {
		clear(t.tags[:])
	} else {
		for skipped := t.top + 1; skipped < v; skipped++ {
			t.tags[skipped%tagged] = 0
		}
	}
	t.tags[v%tagged] = tag
	t.top = v
	return begins
}

func (t *cloneDetector) signOf(from netip.AddrPort, now time.Time) suspicion {
	if now.Sub(t.last) > signsWithin || now.Before(t.last) {
		t.signs = 0
	}
	if from == t.fresh || !t.fresh.IsValid() {
		return none
	}
	if t.signs > 0 && !t.turned {
		return maybeTwo
	}
	if t.signs == 0 {
		t.since = now
	}
	t.signs++
	t.sign, t.last, t.turned = from, now, false
	if t.signs < signsNeeded || now.Sub(t.since) < signsOver || now.Before(t.quiet) {
		return maybeTwo
	}
	t.quiet, t.signs = now.Add(clonesEvery), 0
	return surelyTwo
}

// tagOf is never 0. Two messages have the same with a probability of 1 in 255.
func tagOf(m *proto.Message) byte {
	return byte((uint(m.Random)*2654435761>>7+uint(len(m.Payload)))%255) + 1
}

// detectClone reports an agent whose key two hosts use, and asks the one of them that was heard last whether it is there. Call
// it before the return path is changed. p.mu is held.
func (r *receiver) detectClone(p *peer, message *proto.Message, verdict proto.Verdict, from netip.AddrPort, now time.Time) {
	if p.clones == nil {
		p.clones = new(cloneDetector)
	}
	t := p.clones
	switch t.note(message, verdict, from, now) {
	case maybeTwo:
		if p.Traits().IsOssecd && p.back.Load() != nil && !now.Before(t.quiet) && now.Sub(t.asked).Abs() >= askEvery {
			t.asked = now
			r.press(p, now)
		}
	case surelyTwo:
		r.fleet.Cloned(p.agent, now, t.fresh, t.sign)
	}
}

// press asks an agent of ours for a keepalive, since there may be two of it. Where nothing shows that the address hears us, what goes there is no
// longer than the keepalive that came from there, and no more often than lost datagrams explain. p.mu is held.
func (r *receiver) press(p *peer, now time.Time) {
	most := math.MaxInt
	if !p.hears(now) {
		if p.pressed == pressMost {
			return
		}
		p.pressed++
		most = p.told
	}
	r.replier.sendWithin(p, []byte(proto.AnyHere), most)
}
