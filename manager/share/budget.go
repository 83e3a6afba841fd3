package share

import "time"

// Shared files are far larger than the keepalive that asks for them. An agent whose address has not shown that it hears us, and cannot, could
// have us flood it: so there is a bound on bytes over time (docs/protocol.md, "No flood by us").

// budget is that of an agent. The pusher's mu guards it.
type budget struct {
	owed    time.Time // when the bytes that went out are worked off
	nextLog time.Time // when it may be told again that a push waits for that
}

const (
	freeBytes  = 1 << 20 // a push may begin unless more are owed
	freeSecond = 1 << 10 // bytes worked off in a second

	waitsLogEvery = 10 * time.Minute
)

// mayBegin says whether a push may begin within the budget. p.mu is held.
func (p *Pusher) mayBegin(s *state, now time.Time) bool {
	const free = freeBytes / freeSecond * time.Second
	b := &s.budget
	begins := b.owed.Add(-free) // owed is zero at first, and the distance to that is more than a Duration holds
	if !now.Before(begins) {
		return true
	}
	if !now.Before(b.nextLog) {
		b.nextLog = now.Add(waitsLogEvery)
		p.log.Warn("shared files wait: the agent was sent many, and cannot confirm its address", "agent", s.agent.Key.ID, "name", s.agent.Key.Name,
			"wait", begins.Sub(now).Round(time.Second).String(), "remedy", "none needed unless it takes too long; then give its key a single address (ossecd keygen set-ip), or use ossecd's agent")
	}
	return false
}

// owe notes bytes that went out.
func (b *budget) owe(n int, now time.Time) {
	if b.owed.Before(now) {
		b.owed = now
	}
	b.owed = b.owed.Add(time.Duration(n) * time.Second / freeSecond)
}
