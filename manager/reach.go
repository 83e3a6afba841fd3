package manager

import (
	"crypto/rand"
	"net/netip"
	"time"

	"ossecd/proto"
)

// Shared files are far larger than the keepalive that asks for them. An agent whose key is for more than one address chooses the one that
// its datagrams seem to come from, or somebody on the way does, and could have us flood it. So (docs/protocol.md, "No flood by us"):
//
//   - an agent of ours that offers it has to repeat a word that was sent to that address;
//   - until it has, no answer and no word is longer than what came, but for the stock acknowledgement;
//   - for others, who cannot, there is a bound on bytes over time;
//   - a push ends where the address changes.

// reach is what is known of whether the address of an agent hears us. It is kept only where the key is for more than one address. The
// agent's mu guards it.
type reach struct {
	word  string     // that was asked for last
	at    netip.Addr // where
	again time.Time  // when one is asked for there again
	until time.Time  // until when that address counts as one that hears; zero while the word did not come back

	owed    time.Time // when the bytes that went out without a word are worked off
	nextLog time.Time // when it may be told again that a push waits for that
}

const (
	reachHolds = time.Hour

	// What goes to an agent that repeats no words: a push may begin unless more than freeBytes are owed.
	freeBytes  = 1 << 20
	freeSecond = 1 << 10 // bytes worked off in a second

	waitsLogEvery = 10 * time.Minute
)

// anywhere says whether the agent's key lets it speak from more than one address.
func (a *agent) anywhere() bool {
	_, single := a.key.Address.Single()
	return !single
}

// hears says whether the address that answers go to has shown that it hears us, or can be no other. a.mu is held.
func (a *agent) hears(now time.Time) bool {
	if !a.anywhere() {
		return true
	}
	return a.push != nil && a.push.reach != nil && a.push.reach.at == a.back.To.Addr() && now.Before(a.push.reach.until)
}

// heardWord takes the word that came with a keepalive. a.mu is held.
func (a *agent) heardWord(word string, now time.Time) {
	if r := a.push.reach; r != nil && r.word != "" && word == r.word { // then r.at has heard it
		r.word, r.until = "", now.Add(reachHolds)
	}
}

// mayBegin says whether a push may begin to where the agent is now, and free whether without a bound on bytes. If a word is missing it is
// asked for; the push is wanted again once that comes. a.mu is held.
func (p *pusher) mayBegin(a *agent, now time.Time) (ok, free bool) {
	if !a.anywhere() {
		return true, true
	}
	if a.push.reach == nil {
		a.push.reach = new(reach)
	}
	r, at := a.push.reach, a.back.To.Addr()
	switch {
	case !a.push.says:
		const free = freeBytes / freeSecond * time.Second
		begins := r.owed.Add(-free) // owed is zero at first, and the distance to that is more than a Duration holds
		if !now.Before(begins) {
			return true, false
		}
		if !now.Before(r.nextLog) {
			r.nextLog = now.Add(waitsLogEvery)
			p.m.log.Warn("shared files wait: the agent was sent many, and cannot confirm its address", "agent", a.key.ID, "name", a.key.Name,
				"wait", begins.Sub(now).Round(time.Second).String(), "remedy", "none needed unless it takes too long; then give its key a single address (ossecd keygen set-ip), or use ossecd's agent")
		}
		return false, false
	case at == r.at && now.Before(r.until):
		return true, true
	case at == r.at && now.Before(r.again):
		return false, false
	}
	r.word, r.at, r.again, r.until = rand.Text(), at, now.Add(pushAgain), time.Time{}
	if p.voice.sayWithin(a, []byte(proto.AnyHere+r.word), a.push.came) == errTooLong {
		r.word, r.again = "", time.Time{} // no keepalive of ours is so short
	}
	return false, false
}

// owe notes bytes that went out without a word.
func (r *reach) owe(n int, now time.Time) {
	if r.owed.Before(now) {
		r.owed = now
	}
	r.owed = r.owed.Add(time.Duration(n) * time.Second / freeSecond)
}
