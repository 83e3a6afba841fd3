package channel

import (
	"net/netip"
	"time"

	"ossecd/proto"
)

var (
	// repeatAt is when an unanswered keepalive is repeated, counted from its sending.
	repeatAt = [...]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}
)

const (
	// waitProbe is when an unanswered keepalive is repeated while nothing else may be sent: then after twice that,
	// and so on, up to waitProbeMost between two.
	waitProbe     = time.Second
	waitProbeMost = time.Minute

	// speakEvery is how often a keepalive is said on demand, so that a manager which demands it at every turn
	// does not keep the agent from its work.
	speakEvery = time.Second
)

// About is what keepalives say of the agent, beside its host.
type About struct {
	Version  string                         // of this program
	TakesKey bool                           // it takes a new key, if the manager has one
	Sums     func() (merged, config string) // of the shared files
}

// keepaliveText is the keepalive, which is kept from one to the next, since while many events flow many keepalives are sent.
type keepaliveText struct {
	word           string // that the manager asked for, to know that this address hears it
	nonce          string // of the talk
	merged, config string // in text
	text           []byte // empty where it is to be made anew
}

func (t *keepaliveText) forget() { t.text = t.text[:0] }

// keepaliveNow is the keepalive; it may be used until the next call.
func (c *Conversation) keepaliveNow() []byte {
	t, cfg := &c.text, &c.ch.cfg
	merged, config := cfg.About.Sums()
	if len(t.text) > 0 && merged == t.merged && config == t.config {
		return t.text
	}
	t.merged, t.config = merged, config
	k := proto.Keepalive{
		Uname: host(cfg.Dialect), Program: "ossecd " + cfg.About.Version, ConfigSum: config,
		Files:      []proto.FileSum{{Sum: merged, Name: proto.MergedName}},
		NotifyTime: cfg.NotifyTime, TakesKey: cfg.About.TakesKey, SaysWord: true, Word: t.word, Nonce: t.nonce,
	}
	if cfg.Dialect == proto.Wazuh {
		if local, err := netip.ParseAddrPort(c.conn.LocalAddr().String()); err == nil {
			k.Address = local.Addr().Unmap().WithZone("").String()
		}
	}
	t.text = proto.AppendKeepalive(t.text[:0], &k)
	return t.text
}

// ask sends a keepalive.
func (c *Conversation) ask(now time.Time) {
	if c.asked.IsZero() {
		c.asked, c.repeats = now, 0
	}
	if c.say(now, c.keepaliveNow()) == nil {
		c.flight.probe(now, c.ch.sealer.count())
		c.probeDue = time.Time{}
	}
}

// keepAlive sends a keepalive if one is due. With last, one asks about all that was sent.
func (c *Conversation) keepAlive(now time.Time, last bool) {
	waiting := !c.flight.room(c.nextSize()) || last && !c.flight.allCovered()
	begins := waiting && !c.waiting
	c.waiting = waiting
	repeat := c.repeatDue()
	switch {
	case !now.Before(c.keepalive):
		c.text.forget()
		c.ask(now)
		c.asked, c.repeats = now, 0
		c.keepalive = now.Add(c.ch.cfg.NotifyTime)
	case begins:
		c.asked, c.repeats = now, 0
		if c.flight.unasked() {
			c.ask(now)
		}
	case !c.probeDue.IsZero() && !now.Before(c.probeDue):
		c.ask(now)
	case !repeat.IsZero() && !now.Before(repeat):
		c.repeats++
		c.ask(now)
	}
}

// repeatDue is when the unanswered keepalive is to be repeated, zero for never.
func (c *Conversation) repeatDue() time.Time {
	switch {
	case c.asked.IsZero():
		return time.Time{}
	case c.waiting, c.ch.cfg.Outbox.Keeps() && c.flight.sent != c.flight.covered:
		// After 1, 2, 4, 8, … s, and never more than waitProbeMost apart.
		due, step := c.asked, waitProbe
		for i := range c.repeats + 1 {
			if due = due.Add(step); i > 0 {
				step = min(2*step, waitProbeMost)
			}
		}
		return due
	case c.repeats < len(repeatAt):
		return c.asked.Add(repeatAt[c.repeats])
	}
	return time.Time{}
}

// speakUp has a keepalive leave at once: the manager wants to know whether this host lives. If it gave a word, all keepalives from then on
// repeat it, so that one may be lost.
func (c *Conversation) speakUp(now time.Time, word string) {
	if word != "" {
		c.text.word = word
		c.text.forget()
	}
	if now.Before(c.speaks) {
		return
	}
	c.speaks = now.Add(speakEvery)
	c.keepalive = now
}

// askForProof takes an acknowledgement with an old count. That is all that can be heard of a manager which lost its count, or where messages of
// another one were taken for its: if it is an ossecd, it shows by the name of the conversation, in its answer to a keepalive, that it is
// there now. One is sent for each startup message at most.
func (c *Conversation) askForProof(now time.Time) {
	if !c.begun && c.mayProve {
		c.mayProve = false
		c.ask(now)
	}
}
