package fleet

import (
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// Silence after which an agent counts as gone, unless another time is set: three missed keepalives and some time for the network.
// Until the interval of an agent is known, the stock interval is assumed.
const (
	missedKeepalives  = 3
	keepaliveGrace    = 30 * time.Second
	stockNotifyTime   = 10 * time.Minute
	keepaliveGapsKept = 4 // the longest of the last gaps is taken as the interval
)

// presence is what is known about whether an agent is there; the agent's mu guards it.
//
//	             control message               silence, or it said goodbye
//	disconnected ──────────────▶ connected ──────────────────────────────▶ disconnected
//	                   ▲                        (event agent-disconnected)
//	awaited ───────────┘ (event agent-connected)
//	   └── silence ─▶ disconnected (event agent-disconnected)
//
// An agent is awaited when it was connected as the manager stopped: it has a full waiting time to speak before
// it is reported.
type presence struct {
	state    state
	lastSeen time.Time // of its last authentic and fresh message
	outage   outage

	awaitedSince time.Time // where it is awaited

	notify    time.Duration                    // the keepalive interval that it told, or 0
	gaps      [keepaliveGapsKept]time.Duration // between its last keepalives
	keepalive time.Time                        // the last one since its startup
	learned   time.Duration                    // from an earlier run
	watched   time.Time                        // the earliest time at which the watch looks at it
}

type state uint8

const (
	disconnected state = iota
	awaited
	connected
)

// resume takes up what an earlier run of the manager knew.
func (p *presence) resume(s *keys.Slot, now time.Time) {
	if s.Connected() {
		*p = presence{state: awaited, lastSeen: now, awaitedSince: now}
	} else {
		p.outage.since = s.LastSeen()
	}
	p.learned = s.Interval()
}

// heardByStock takes over when a stock manager heard an agent that we last heard before. Keepalives of stock agents are ten minutes apart, so
// one that spoke within a stock manager's waiting time was there all the time. Without that it would be reported as back from an outage.
func heardByStock(s *keys.Slot, at, now time.Time) {
	if at.After(s.LastSeen()) && !at.After(now) {
		s.SetLastSeen(at)
		s.SetConverses(false)
		s.SetConnected(now.Sub(at) < missedKeepalives*stockNotifyTime+keepaliveGrace)
	}
}

// interval is the agent's keepalive interval as far as it is known: told, seen, seen in an earlier run, or 0.
// Of the last gaps the longest counts, since agents send extra keepalives too.
func (p *presence) interval() time.Duration {
	if p.notify > 0 {
		return p.notify
	}
	var most time.Duration
	for _, g := range p.gaps {
		most = max(most, g)
	}
	if most == 0 {
		return p.learned
	}
	return most
}

// starting says that the agent is there and has said no keepalive since its startup. One that stays so does not take our answers.
func (p *presence) starting() bool { return p.state == connected && p.keepalive.IsZero() }

// forgetInterval is for a startup: another program, or the same one with other settings, may speak from now on.
func (p *presence) forgetInterval() {
	p.notify, p.learned, p.keepalive = 0, 0, time.Time{}
	clear(p.gaps[:])
}

// noteKeepalive learns from a keepalive that came now.
func (p *presence) noteKeepalive(k *proto.Keepalive, now time.Time) {
	p.notify = k.NotifyTime
	if !p.keepalive.IsZero() {
		copy(p.gaps[1:], p.gaps[:])
		p.gaps[0] = now.Sub(p.keepalive)
	}
	p.keepalive = now
}

// outage is an agent's time without a word, from its last one on.
type outage struct {
	since  time.Time // when it was last heard; zero where it is there or was never heard
	remind time.Time // when its absence is told again; zero for never
}

// length is how long it has lasted.
func (o *outage) length(now time.Time) time.Duration { return max(0, now.Sub(o.since)) }

// heard is when the agent last sent something authentic and fresh, in this run or an earlier one; zero if never. a.mu is held.
func (a *Agent) heard() time.Time {
	p := &a.presence
	if p.state == awaited && p.lastSeen.Equal(p.awaitedSince) || p.lastSeen.IsZero() {
		return a.Slot.LastSeen()
	}
	return p.lastSeen
}
