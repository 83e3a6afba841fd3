package channel

import (
	"context"
	"fmt"
	"net"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/udp"
	"ossecd/proto"
)

const (
	// goneAfter is how many keepalives in a row must have had no answer for the manager to have been gone, and not just
	// an answer lost. They are sent 1, 2, 4 … s apart while events wait, so that is some seconds. A manager that is ours says
	// itself that it started anew.
	goneAfter = 3

	// replacedAfter is how often a keepalive must have been repeated in vain for acknowledgements without the conversation's name to mean
	// that another program has taken the manager's place, and replacedEvery how often that is believed at most.
	replacedAfter = 2
	replacedEvery = time.Minute

	// brokenWrite is for how long the system may refuse to take datagrams before a new socket is made.
	brokenWrite = 20 * time.Second

	// settleWithin is how long Leave waits for the answer to what was sent last.
	settleWithin = time.Second
)

// Conversation is one with one manager, over one socket. All of it belongs to the goroutine of the link; the receiver has a goroutine
// of its own.
type Conversation struct {
	ch        *Channel
	manager   int
	conn      net.Conn
	recv      *receiver // nil until Open
	tentative bool
	begun     bool // events may be sent
	flight    flight
	text      keepaliveText

	keepalive time.Time // when the next is due
	asked     time.Time // when the first unanswered keepalive was sent, zero if all were answered
	repeats   int       // how often it was repeated
	waiting   bool      // nothing more is sent until a keepalive is answered
	probeDue  time.Time // when a keepalive is due for what was sent since the last one, zero for never
	speaks    time.Time // when a keepalive is said on demand again
	mayProve  bool      // a keepalive may be sent for an acknowledgement with an old count

	failing time.Time // since when the system takes no datagrams, zero while it does
	retry   time.Time // nothing is sent before then

	ours      bool   // the manager is an ossecd
	formKnown bool   // a keepalive was answered, which shows whether it is
	runName   string // of the manager's run, if it is an ossecd
}

var _ conversation.Conversation = (*Conversation)(nil)

// Open implements conversation.Conversation.
func (c *Conversation) Open(ctx context.Context, tentative bool) {
	c.tentative = tentative
	if !tentative {
		c.ch.conv = c
	}
	c.recv = c.ch.listen(c.conn, c.manager)
	c.text.nonce = c.recv.talk.nonce
	// Last words must not hold up the stop.
	c.recv.unhook = context.AfterFunc(ctx, func() { c.conn.SetWriteDeadline(time.Now().Add(udp.WriteWithin)) })
	go c.recv.run()
}

// Close implements conversation.Conversation.
func (c *Conversation) Close() {
	if c.ch.conv == c {
		c.ch.conv = nil
	}
	if c.recv == nil {
		c.conn.Close()
		return
	}
	c.recv.stop()
}

// Addr implements conversation.Conversation.
func (c *Conversation) Addr() string { return c.conn.RemoteAddr().String() }

// name is what the log calls the manager.
func (c *Conversation) name() string { return c.ch.cfg.Managers[c.manager] }

// Inbox implements conversation.Conversation.
func (c *Conversation) Inbox() <-chan conversation.Message { return c.recv.inbox }

// Hello implements conversation.Conversation.
func (c *Conversation) Hello(now time.Time) {
	if err := c.ch.counts.sender.Rebase(); err != nil {
		c.ch.limited.Warn("the sending counter is not saved", "err", err)
	}
	if c.say(now, []byte(proto.Startup)) == nil {
		c.flight.probe(now, c.ch.sealer.count())
	}
	c.mayProve = true
}

// Begin implements conversation.Conversation.
func (c *Conversation) Begin(now time.Time) {
	c.begun, c.tentative = true, false
	c.ch.conv = c
	c.asked, c.repeats, c.waiting = time.Time{}, 0, false
	c.failing, c.retry = time.Time{}, time.Time{}
	c.ch.rate.look(now)
	c.text.forget()
	c.start()
	c.ask(now)
	c.keepalive = now.Add(c.ch.cfg.NotifyTime)
}

// Hear implements conversation.Conversation.
func (c *Conversation) Hear(now time.Time, m conversation.Message) conversation.Heard {
	switch m.Sign {
	case conversation.NobodyThere:
		if c.begun {
			c.ch.log.Debug("nobody listens there, the manager's host says", "manager", c.name())
			c.flight.refuse()
		}
		return conversation.Nothing
	case conversation.Closed:
		return conversation.Ended
	case conversation.OldAck:
		c.askForProof(now)
		return conversation.Nothing
	case conversation.UnnamedAck:
		if c.begun && c.repeats >= replacedAfter && !now.Before(c.ch.nextReplace) {
			c.ch.nextReplace = now.Add(replacedEvery)
			return conversation.Replaced
		}
		return conversation.Nothing
	}
	switch {
	case m.Kind == proto.ManagerAck && !c.begun:
		c.flight.answer(now, m.Rest)
		return conversation.Accepted
	case m.Kind == proto.ManagerAck:
		c.answered(now, m.Rest)
		return conversation.Known
	case m.Kind == proto.ManagerAnyHere && c.begun:
		c.speakUp(now, string(m.Rest))
		return conversation.Known
	}
	return conversation.Order
}

// answered notes an ack, and what an ossecd says behind it. One that names a new run too often counts as lost: it confirms nothing, so
// that nothing more is sent than the window takes, until a later one is within the budget.
func (c *Conversation) answered(now time.Time, behind []byte) {
	run, ours := proto.ParseRun(behind)
	keeps := c.ch.cfg.Outbox.Keeps()
	if ours && keeps && c.runName != "" && run.Name != c.runName && !c.ch.resend.AllowN(now, 1) {
		c.ch.limited.Warn("orders to send again, by the name of a new run, are ignored: there are too many", "obeyed_at_once", resendBurst, "then_every", resendEvery.String(),
			"remedy", "none needed unless it goes on; then find out why the manager orders it so often")
		return
	}
	unanswered, known := c.flight.answer(now, behind)
	if !known {
		return
	}
	c.ours, c.formKnown = ours, true
	if keeps {
		c.settleUp(unanswered, run, ours)
	}
	c.asked, c.repeats = time.Time{}, 0
	if c.waiting {
		c.asked = now // it may have been the answer to an earlier one
	}
}

// settleUp draws the conclusions of an answer: what is known to have arrived is done with, and what is likely to have gone to
// nobody is sent again. unanswered is how many keepalives before the answered one had no answer.
func (c *Conversation) settleUp(unanswered int, run proto.Run, ours bool) {
	out := c.ch.cfg.Outbox
	another := ours && c.runName != run.Name // than the one that was known, if any was
	if ours {
		c.runName = run.Name
	}
	switch {
	case another:
		// What earlier runs counted has arrived, and so has what this one did; what is between them has not.
		out.Arrived(run.Last.Value())
		if oldest, ok := out.Oldest(); !ok || oldest >= run.First.Value() {
			out.Arrived(c.flight.coveredCount)
			return
		}
	case !ours && unanswered >= goneAfter:
	default:
		out.Arrived(c.flight.coveredCount)
		return
	}
	c.ch.log.Info("the manager was gone for a while", "manager", c.name(), "started_anew", another)
	c.flight.restart()
	if n := out.Rewind(); n > 0 {
		c.ch.log.Info("events that were not confirmed are sent again", "count", n)
	}
}

// Keep implements conversation.Conversation.
func (c *Conversation) Keep(now time.Time, last bool) error {
	c.ch.rate.look(now)
	if !c.retry.IsZero() {
		if now.Before(c.retry) {
			return nil
		}
		c.retry = time.Time{}
	}
	if !c.failing.IsZero() && now.Sub(c.failing) >= brokenWrite {
		return conversation.ErrHostSendsNothing
	}
	if c.maySend() {
		c.start()
		c.tellLoss()
	}
	c.keepAlive(now, last)
	return nil
}

// Due implements conversation.Conversation.
func (c *Conversation) Due() time.Time {
	if !c.retry.IsZero() {
		return c.retry
	}
	first := c.keepalive
	for _, at := range [...]time.Time{c.repeatDue(), c.probeDue, c.ch.rate.until} {
		if !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first
}

// Answering implements conversation.Conversation.
func (c *Conversation) Answering() bool { return c.repeats < 2 }

// AllArrived implements conversation.Conversation.
func (c *Conversation) AllArrived() bool { return c.flight.allCovered() }

// start sends the event of the agent's start, once in a process.
func (c *Conversation) start() {
	if c.ch.started {
		return
	}
	location := "ossec"
	if c.ch.cfg.Dialect == proto.Wazuh {
		location = "wazuh-agent"
	}
	key := &c.ch.cfg.Key
	c.ch.started = c.tell(location, "ossec: Agent started: '"+key.Name+"->"+key.Address.Bare()+"'.")
}

// tellLoss sends the event about events that the spool lost.
func (c *Conversation) tellLoss() {
	out := c.ch.cfg.Outbox
	lost := out.Lost()
	if lost == 0 || !c.maySend() {
		return
	}
	if c.tell("ossecd", fmt.Sprintf("ossec: Agent event queue is full: %d events lost.", lost)) {
		c.ch.log.Warn("events lost: the spool had no room for them", "count", lost)
		out.Told()
	}
}

// Leave implements conversation.Conversation.
func (c *Conversation) Leave() {
	c.settle()
	if c.ch.cfg.Dialect == proto.Wazuh {
		c.say(time.Now(), []byte(proto.Shutdown))
	}
}

// settle waits for the answer that covers what was sent, so that the next process does not send it again.
func (c *Conversation) settle() {
	if !c.ch.cfg.Outbox.Keeps() || c.flight.sent == c.flight.covered {
		return
	}
	if c.flight.unasked() {
		c.ask(time.Now())
	}
	late := time.NewTimer(settleWithin)
	defer late.Stop()
	for c.flight.sent != c.flight.covered {
		select {
		case m := <-c.recv.inbox:
			switch {
			case m.Sign == conversation.NobodyThere, m.Sign == conversation.Closed:
				return
			case m.Sign == conversation.Said && m.Kind == proto.ManagerAck:
				c.answered(time.Now(), m.Rest)
			}
		case <-late.C:
			return
		}
	}
}
