package channel

import (
	"errors"
	"io"
	"time"

	"ossecd/agent/source"
	"ossecd/agent/udp"
	"ossecd/proto"
)

// retryWrite is the pause before the next try where the system would not take a datagram.
const retryWrite = 250 * time.Millisecond

// Ready implements conversation.Conversation.
func (c *Conversation) Ready() bool { return c.ch.cfg.Outbox.Next() != nil && c.maySend() }

// maySend says whether the next event may be sent.
func (c *Conversation) maySend() bool {
	return c.begun && c.retry.IsZero() && c.ch.rate.until.IsZero() && c.flight.room(c.nextSize()) && (c.formKnown || !c.awaitsForm())
}

// awaitsForm says that the next event has a NUL, and how the manager takes it is known by its answer to the first keepalive, which was sent
// before any event.
func (c *Conversation) awaitsForm() bool {
	e := c.ch.cfg.Outbox.Next()
	return e != nil && hasNUL(e)
}

// nextSize is about how long the next event is, 0 where none is known.
func (c *Conversation) nextSize() int {
	if next := c.ch.cfg.Outbox.Next(); next != nil {
		return len("1::") + len(next.Location) + len(next.Message)
	}
	return 0
}

// Send implements conversation.Conversation. Events that come again if they do not arrive leave together.
func (c *Conversation) Send() (more bool) {
	for range udp.MaxBatch {
		e := c.ch.cfg.Outbox.Next()
		if e == nil || !c.maySend() || !c.sendOne(e) {
			break
		}
	}
	c.flush(time.Time{})
	return c.maySend()
}

// sendOne sends the next event of the outbox, or has it sent by the next flush, and says whether it is done with.
func (c *Conversation) sendOne(e *source.Event) bool {
	ch := c.ch
	location, message, ok := e.Location, e.Message, true
	if !c.ours && hasNUL(e) {
		if location, message, ok = ch.nuls.blank(e); !ok {
			ch.limited.Warn("lines of NULs only are not sent to a stock manager", "location", e.Location, "dropped", ch.nuls.dropped,
				"remedy", "none needed: such a hole stands in a file after a crash of its host, or behind a writer that goes on after a truncation")
			ch.cfg.Outbox.Drop()
			return true
		}
	}
	ch.plain = proto.AppendEvent(ch.plain[:0], e.Queue, location, message, ch.cfg.Dialect)
	if most := ch.cfg.MaxEvent; len(ch.plain) > most {
		ch.limited.Warn("an event was cut", "location", e.Location, "bytes", len(ch.plain), "most", most, "remedy", "report this: the source should have split the event")
		ch.plain = ch.plain[:most]
	}
	var size int
	var err error
	if ch.cfg.Outbox.Kept() {
		if size, err = ch.sealer.stage(ch.plain); err != nil {
			c.unsent(time.Time{}, err)
		}
	} else {
		err = c.say(time.Time{}, ch.plain)
		size = len(ch.sealer.datagram)
	}
	switch {
	case errors.Is(err, errNever):
		c.neverSent(err, len(ch.plain))
		ch.cfg.Outbox.Drop()
		return true
	case err != nil:
		return false
	}
	ch.cfg.Outbox.Sent(ch.sealer.count())
	ch.rate.sent()
	c.noteEvent(size)
	return true
}

// tell sends an event of the agent's own, and says whether it is done with: sent, or such as can never be sent.
func (c *Conversation) tell(location, text string) bool {
	ch := c.ch
	ch.plain = proto.AppendEvent(ch.plain[:0], '1', location, []byte(text), ch.cfg.Dialect)
	switch err := c.say(time.Time{}, ch.plain); {
	case errors.Is(err, errNever):
		c.neverSent(err, len(ch.plain))
	case err != nil:
		return false
	default:
		c.noteEvent(len(ch.sealer.datagram))
	}
	return true
}

// noteEvent notes an event that was sent in a datagram of so many bytes, or will be by the next flush, and asks about it in time.
func (c *Conversation) noteEvent(size int) {
	c.flight.event(size)
	if c.probeDue.IsZero() && c.ch.cfg.ProbeInterval > 0 {
		c.probeDue = time.Now().Add(c.ch.cfg.ProbeInterval)
	}
	if c.flight.wantsProbe() {
		now := time.Now()
		c.ask(now)
		c.keepalive = now.Add(c.ch.cfg.NotifyTime)
	}
}

func (c *Conversation) neverSent(err error, bytes int) {
	c.ch.limited.Warn("an event was lost", "err", err, "bytes", bytes, "remedy", "let this system send longer datagrams, or keep such lines out of the logs")
}

// Say implements conversation.Conversation.
func (c *Conversation) Say(message []byte) error { return c.say(time.Time{}, message) }

// say sends a message, behind those that are staged. On an error it was not sent, and the error was dealt with. now may be zero: it is asked
// for only where it is needed, since this is done for every event.
func (c *Conversation) say(now time.Time, message []byte) error {
	if err := c.flush(now); err != nil {
		return err
	}
	if err := c.ch.sealer.write(c.conn, message); err != nil {
		return c.unsent(now, err)
	}
	c.sent()
	return nil
}

// flush sends the events that are staged, all of them from the spool. Those behind an error were not sent, and come again; the
// error was dealt with.
func (c *Conversation) flush(now time.Time) error {
	sealer := c.ch.sealer
	for sealer.staged > 0 {
		n := sealer.staged
		left, err := sealer.flush(c.conn)
		switch {
		case err == nil:
			c.sent()
		case errors.Is(err, errNever):
			c.neverSent(err, len(sealer.batch[sealer.skipped-1]))
		default:
			for _, d := range sealer.batch[n-left : n] {
				c.flight.sent -= charge(len(d))
			}
			c.ch.cfg.Outbox.Unsent(sealer.counts[n-left])
			return c.unsent(now, err)
		}
	}
	return nil
}

// sent notes that the system takes datagrams.
func (c *Conversation) sent() {
	if c.ch.cannotSend && !c.tentative {
		c.ch.cannotSend = false
		c.ch.log.Info("sending again", "manager", c.name())
	}
	c.failing = time.Time{}
}

// unsent deals with an error of the sealer, and returns it.
func (c *Conversation) unsent(now time.Time, err error) error {
	switch {
	case errors.Is(err, errNever):
		return err
	case errors.Is(err, errRefused):
		c.flight.refuse()
		return err
	}
	if now.IsZero() {
		now = time.Now()
	}
	c.retry = now.Add(retryWrite)
	if errors.Is(err, io.EOF) { // the receiver learns of it, too, and tells the link
		return err
	}
	if errors.Is(err, errCount) {
		c.ch.limited.Warn("nothing can be sent", "err", err)
		return err
	}
	if c.failing.IsZero() {
		c.failing = now
	}
	if !c.ch.cannotSend && !c.tentative {
		c.ch.cannotSend = true
		c.ch.log.Warn("this host cannot send to the manager", "manager", c.name(), "err", err, "remedy", "check this host's network and firewall; ossecd keeps trying")
	}
	return err
}
