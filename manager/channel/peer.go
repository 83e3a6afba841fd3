package channel

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"ossecd/keys/limitlog"
	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/proto"
)

// peer is the conversation with one agent.
type peer struct {
	channel *Channel
	agent   *fleet.Agent
	traits  atomic.Pointer[fleet.Traits]      // what it points to never changes; nil for the zero Traits
	back    atomic.Pointer[listen.ReturnPath] // likewise; nil until the agent was heard

	// mu guards what is below. It is taken before all locks of the fleet. Answers are sealed and sent while it is held, so that those to
	// one agent leave in the order of their counts.
	mu      sync.Mutex
	active  *fleet.Credential // the next key, where its last fresh message came with that; nil: its own
	talk    string            // names what we say to each other, by its keepalive; empty for no name
	taught  uint64            // the count of the control message that told last what it is
	answers answers
	before  uint64 // the highest count that earlier runs took
	first   uint64 // the first that this run took, 0 for none
	told    int    // bytes of its last keepalive
	pressed int    // how often it was asked since, as one of two
	account account
	address *addressCheck  // nil until it is needed
	clones  *cloneDetector // nil until it spoke
	faults  *faults        // nil until there is one
}

// Converse begins the conversation with an agent, which may take the place of another (fleet.Config).
func (c *Channel) Converse(a, was *fleet.Agent) fleet.Conversation {
	p := &peer{channel: c, agent: a, before: a.Before}
	if was == nil {
		return p
	}
	w := was.Conversation().(*peer)
	w.mu.Lock()
	defer w.mu.Unlock()
	p.before, p.first, p.account = w.takenBefore(), w.first, w.account
	if was.Key.Secret != a.Key.Secret { // its next key is its own now
		p.talk, p.told = w.talk, w.told
		p.traits.Store(w.traits.Load())
		p.back.Store(w.back.Load())
		return p
	}
	if next := a.Next(); next != nil && w.usesNext() && next.Key.Secret == w.active.Key.Secret {
		p.active = next // the key before has ended
	}
	return p
}

// errNotHeard says that nobody knows where the agent is.
var errNotHeard = errors.New("not heard since the manager started")

// Send implements fleet.Conversation.
func (p *peer) Send(message []byte) error {
	o := &p.channel.outside
	o.Lock()
	defer o.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.back.Load() == nil {
		return errNotHeard
	}
	return o.send(p, message)
}

// Addr implements fleet.Conversation.
func (p *peer) Addr() netip.AddrPort {
	if back := p.back.Load(); back != nil {
		return back.To
	}
	return netip.AddrPort{}
}

// Traits implements fleet.Conversation.
func (p *peer) Traits() fleet.Traits {
	if t := p.traits.Load(); t != nil {
		return *t
	}
	return fleet.Traits{}
}

// connected says that answers go over a connection, so that the address is known to hear us.
func (p *peer) connected() bool {
	back := p.back.Load()
	return back != nil && back.Stream() != nil
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

// Account implements fleet.Conversation.
func (p *peer) Account() fleet.Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := fleet.Account{Events: p.account.events, Missing: p.account.missing + p.account.row.missing()}
	if p.account.program != (unique.Handle[string]{}) {
		a.Program = p.account.program.Value()
	}
	if p.faults != nil {
		for i, n := range p.faults.counts {
			if n > 0 {
				why := authentic + reason(i)
				a.Refused = append(a.Refused, fleet.Refused{Reason: why.String(), Remedy: reasons[why].remedy, Count: uint64(n)})
			}
		}
	}
	a.Refused = append(a.Refused, p.channel.refusals.claims.of(p.agent.Key.ID)...)
	return a
}

// setTraits is for when they may have changed. p.mu is held.
func (p *peer) setTraits(t fleet.Traits) {
	if t != p.Traits() {
		changed := t // so that t itself need not escape, at every event
		p.traits.Store(&changed)
	}
}

// answerTo has answers go another way. p.mu is held.
func (p *peer) answerTo(back listen.ReturnPath) {
	if old := p.back.Load(); old == nil || *old != back {
		changed := back // likewise
		p.back.Store(&changed)
	}
}

// usesNext says that the agent's last fresh message came with its next key, which is still that. p.mu is held.
func (p *peer) usesNext() bool { return p.active != nil && p.active == p.agent.Next() }

// cipher is that of the agent's last fresh message. p.mu is held.
func (p *peer) cipher() *proto.Cipher {
	if p.usesNext() {
		return p.active.Cipher
	}
	return p.agent.Cipher
}

// takenBefore is the highest count that earlier runs took, perhaps under its next key. p.mu is held.
func (p *peer) takenBefore() uint64 {
	if next := p.agent.Next(); next != nil {
		p.before = max(p.before, next.Before)
	}
	return p.before
}

// noteLosses notes whether events of an agent of ours were lost. It is not answered then until it starts anew, so that it sends them again;
// from then on it is told that what it sent since its last answer went to nobody. Other agents send nothing again. p.mu is held.
func (p *peer) noteLosses(startup bool) {
	a := &p.answers
	if lost := p.agent.Source.Lost(); lost != a.lost {
		a.lost = lost
		a.owed = a.owed || p.Traits().IsOssecd
	}
	if a.owed && startup {
		a.owed = false
		a.runs++
		p.before, p.first = a.last, 0
	}
}

// run names the run of ours that the agent is told. p.mu is held.
func (p *peer) run() string {
	if p.answers.runs == 0 {
		return p.channel.cfg.Run
	}
	return p.channel.cfg.Run + "x" + strconv.Itoa(p.answers.runs)
}

// dialectOf is the dialect of a message, which Blowfish does not show: there it is that of the last AES message.
func (p *peer) dialectOf(m *proto.Message) proto.Dialect {
	if m.Method == proto.AES {
		return m.Dialect
	}
	return p.Traits().Dialect
}

// faults are what is known of an agent with which something was wrong.
type faults struct {
	low    lowCounts
	logs   [numReasons - authentic]limitlog.Limit // by reason
	counts [numReasons - authentic]uint32         // likewise
}

func (p *peer) faulty() *faults {
	if p.faults == nil {
		p.faults = new(faults)
	}
	return p.faults
}

// forgetLow is for when counts are in order again.
func (p *peer) forgetLow() {
	if p.faults != nil {
		p.faults.low = lowCounts{}
	}
}

// mayLog says whether it is time to log something about the agent again, and notes that it was done. p.mu is held.
func (p *peer) mayLog(why reason, now time.Time) bool { return p.faulty().logs[why-authentic].Due(now) }

// lostCounterAfter is how many authentic messages with rising counts, all far below the last one, are
// taken as a sign that an agent lost its counter.
const lostCounterAfter = 3

// lowCounts watches for an agent whose counter fell back: messages with rising counts, all too old.
type lowCounts struct {
	last    uint64
	rising  int
	startup bool
}

// note takes a message that was too old and says whether it is time to speak of a lost counter.
func (l *lowCounts) note(v uint64, startup bool) bool {
	if v <= l.last {
		*l = lowCounts{}
	}
	l.last = v
	l.rising++
	l.startup = l.startup || startup
	return l.startup && l.rising >= lostCounterAfter
}
