package channel

import (
	"crypto/rand"
	"net/netip"
	"time"

	"ossecd/manager/fleet"
	"ossecd/proto"
)

// An agent whose key is for more than one address chooses the one that its datagrams seem to come from, or somebody on the way does, and could
// have us flood it. So an agent of ours that offers it has to repeat a word that was sent to that address, before what is larger than what
// came goes there (docs/protocol.md, "No flood by us"); and until it has, no answer and no word is longer than what came, but for the stock
// acknowledgement.

// addressCheck is what is known of whether the address of an agent hears us. The peer's mu guards it.
type addressCheck struct {
	word  string     // that was asked for last
	at    netip.Addr // where
	again time.Time  // when one is asked for there again
	until time.Time  // until when that address counts as one that hears; zero while the word did not come back
}

const (
	addressHolds = time.Hour
	askAddress   = 30 * time.Second // how long an agent may take to repeat the word
)

// heard takes the word that came with a keepalive.
func (c *addressCheck) heard(word string, now time.Time) {
	if c != nil && c.word != "" && word == c.word { // then c.at has heard it
		c.word, c.until = "", now.Add(addressHolds)
	}
}

// hears says whether the address that answers go to has shown that it hears us, or can be no other. p.mu is held.
func (p *peer) hears(now time.Time) bool {
	c := p.address
	return !p.agent.Anywhere() || p.connected() || c != nil && c.at == p.Addr().Addr() && now.Before(c.until)
}

// Confirm implements fleet.Conversation.
func (p *peer) Confirm(now time.Time) fleet.Confirmation {
	if !p.agent.Anywhere() || p.connected() {
		return fleet.Confirmed
	}
	o := &p.channel.outside
	o.Lock()
	defer o.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.Traits().SaysWord:
		return fleet.Unable
	case p.hears(now):
		return fleet.Confirmed
	case p.back.Load() == nil:
		return fleet.Asked
	}
	if p.address == nil {
		p.address = new(addressCheck)
	}
	c, at := p.address, p.Addr().Addr()
	if at == c.at && now.Before(c.again) {
		return fleet.Asked
	}
	*c = addressCheck{word: rand.Text(), at: at, again: now.Add(askAddress)}
	if o.sendWithin(p, []byte(proto.AnyHere+c.word), p.told) == errTooLong {
		c.word, c.again = "", time.Time{} // no keepalive of ours is so short
	}
	return fleet.Asked
}
