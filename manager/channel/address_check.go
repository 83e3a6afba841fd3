package channel

import (
	"net/netip"
	"time"
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
