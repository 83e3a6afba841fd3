package agent

import (
	"context"
	"errors"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/source"
	"ossecd/proto"
)

// keepUp does what is due while online.
func (s *session) keepUp(ctx context.Context, now time.Time) {
	if !s.retry.IsZero() {
		if now.Before(s.retry) {
			return
		}
		s.retry = time.Time{}
	}
	if !s.failing.IsZero() && now.Sub(s.failing) >= brokenWrite {
		s.failing = now
		s.offline(ctx, "this host takes no datagrams", "look at its network; a new socket is tried")
		return
	}
	if s.mayEmit() {
		s.start()
		s.tellLoss()
	}
	waiting := !s.flight.room(s.nextSize()) || (!s.draining.IsZero() && !s.flight.allCovered())
	begins := waiting && !s.waiting
	s.waiting = waiting
	switch {
	case !now.Before(s.keepalive):
		s.about.forget()
		s.ask(now)
		s.asked, s.repeats = now, 0
		s.keepalive = now.Add(s.cfg.NotifyTime)
	case begins:
		s.asked, s.repeats = now, 0
		if s.flight.unasked() {
			s.ask(now)
		}
	case !s.probeDue.IsZero() && !now.Before(s.probeDue):
		s.ask(now)
	case !s.repeatDue().IsZero() && !now.Before(s.repeatDue()):
		s.repeats++
		s.ask(now)
	}
}

// speakUp has a keepalive leave at once: the manager wants to know whether this host lives. If it gave a word, all keepalives from then on
// repeat it, so that one may be lost.
func (s *session) speakUp(now time.Time, word string) {
	if word != "" {
		s.about.word = word
		s.about.forget()
	}
	if now.Before(s.speaks) {
		return
	}
	s.speaks = now.Add(speakEvery)
	s.keepalive = now
}

// repeatDue is when the unanswered keepalive is to be repeated, zero for never.
func (s *session) repeatDue() time.Time {
	switch {
	case s.asked.IsZero():
		return time.Time{}
	case s.waiting, s.out.Keeps() && s.flight.sent != s.flight.covered:
		// After 1, 2, 4, 8, … s, and never more than waitProbeMost apart.
		due, step := s.asked, waitProbe
		for i := range s.repeats + 1 {
			if due = due.Add(step); i > 0 {
				step = min(2*step, waitProbeMost)
			}
		}
		return due
	case s.repeats < len(repeatAt):
		return s.asked.Add(repeatAt[s.repeats])
	}
	return time.Time{}
}

// ask sends a keepalive.
func (s *session) ask(now time.Time) {
	if s.asked.IsZero() {
		s.asked, s.repeats = now, 0
	}
	if s.write(now, s.about.keepalive(s.conn, s.orders.Sums())) == nil {
		s.flight.probe(now, s.sealed.count())
		s.probeDue = time.Time{}
	}
}

// answered notes an ack, and what an ossecd says behind it. One that names a new run too often counts as lost: it confirms nothing, so
// that nothing more is sent than the window takes, until a later one is within the budget.
func (s *session) answered(now time.Time, behind []byte) {
	run, ours := proto.ParseRun(behind)
	if ours && s.out.Keeps() && s.runName != "" && run.Name != s.runName && !s.resend.AllowN(now, 1) {
		s.limited.Warn("orders to send again, by the name of a new run, are ignored: there are too many", "obeyed_at_once", resendBurst, "then_every", resendEvery.String(),
			"remedy", "none needed unless it goes on; then find out why the manager orders it so often")
		return
	}
	unanswered, known := s.flight.answer(now, behind)
	if !known {
		return
	}
	s.nuls.ours = ours
	s.nuls.formKnown = true
	if s.out.Keeps() {
		s.settleUp(unanswered, behind)
	}
	s.asked, s.repeats = time.Time{}, 0
	if s.waiting {
		s.asked = now // it may have been the answer to an earlier one
	}
}

// mayEmit says whether the next event may be sent.
func (s *session) mayEmit() bool {
	return s.state == online && s.retry.IsZero() && s.pace.until.IsZero() && s.flight.room(s.nextSize()) && !s.awaitsForm()
}

// nextSize is about how long the next event is, 0 where none is known.
func (s *session) nextSize() int {
	if next := s.out.Next(); next != nil {
		return len("1::") + len(next.Location) + len(next.Message)
	}
	return 0
}

// emit sends a slice of what the outbox has. Events that come again if they do not arrive leave together.
func (s *session) emit() {
	for range slice {
		e := s.out.Next()
		if e == nil || !s.mayEmit() || !s.emitOne(e) {
			break
		}
	}
	s.flush(time.Time{})
}

// emitOne sends the next event of the outbox, or has it sent by the next flush, and says whether it is done with.
func (s *session) emitOne(e *source.Event) bool {
	location, message, ok := s.stockText(e)
	if !ok {
		s.out.Drop()
		return true
	}
	s.plain = proto.AppendEvent(s.plain[:0], e.Queue, location, message, s.cfg.Dialect)
	if most := s.cfg.maxEvent(); len(s.plain) > most {
		s.limited.Warn("an event was cut", "location", e.Location, "bytes", len(s.plain), "most", most, "remedy", "report this: the source should have split the event")
		s.plain = s.plain[:most]
	}
	var size int
	var err error
	now := time.Time{} // asked for only where it is needed: this is done for every event
	if s.out.Kept() {
		if size, err = s.sealed.stage(s.plain); err != nil {
			s.unsent(now, err)
		}
	} else {
		err = s.write(now, s.plain)
		size = len(s.sealed.datagram)
	}
	switch {
	case errors.Is(err, errNever):
		s.neverSent(err, len(s.plain))
		s.out.Drop()
		return true
	case err != nil:
		return false
	}
	s.out.Sent(s.sealed.count())
	s.pace.sent()
	s.noteEvent(size)
	return true
}

// tell sends an event of the agent's own, and says whether it is done with: sent, or such as can never be sent.
func (s *session) tell(location, text string) bool {
	s.plain = proto.AppendEvent(s.plain[:0], '1', location, []byte(text), s.cfg.Dialect)
	switch err := s.write(time.Time{}, s.plain); {
	case errors.Is(err, errNever):
		s.neverSent(err, len(s.plain))
	case err != nil:
		return false
	default:
		s.noteEvent(len(s.sealed.datagram))
	}
	return true
}

// noteEvent notes an event that was sent in a datagram of so many bytes, or will be by the next flush, and asks about it in time.
func (s *session) noteEvent(size int) {
	s.flight.event(size)
	if s.probeDue.IsZero() && s.cfg.ProbeInterval > 0 {
		s.probeDue = time.Now().Add(s.cfg.ProbeInterval)
	}
	if s.flight.wantsProbe() {
		now := time.Now()
		s.ask(now)
		s.keepalive = now.Add(s.cfg.NotifyTime)
	}
}

func (s *session) neverSent(err error, bytes int) {
	s.limited.Warn("an event was lost", "err", err, "bytes", bytes, "remedy", "let this system send longer datagrams, or keep such lines out of the logs")
}

// write sends a message, behind those that are staged. On an error it was not sent, and the error was dealt with.
func (s *session) write(now time.Time, message []byte) error {
	if err := s.flush(now); err != nil {
		return err
	}
	if err := s.sealed.write(s.conn, message); err != nil {
		return s.unsent(now, err)
	}
	s.sent()
	return nil
}

// flush sends the events that are staged, all of them from the spool. Those behind an error were not sent, and are read again; the
// error was dealt with.
func (s *session) flush(now time.Time) error {
	for s.sealed.staged > 0 {
		n := s.sealed.staged
		left, err := s.sealed.flush(s.conn)
		switch {
		case err == nil:
			s.sent()
		case errors.Is(err, errNever):
			s.neverSent(err, len(s.sealed.batch[s.sealed.skipped-1]))
		default:
			for _, d := range s.sealed.batch[n-left : n] {
				s.flight.sent -= charge(len(d))
			}
			s.out.Unsent(s.sealed.counts[n-left])
			return s.unsent(now, err)
		}
	}
	return nil
}

// sent notes that the system takes datagrams.
func (s *session) sent() {
	if !s.failing.IsZero() {
		s.failing = time.Time{}
		s.log.Info("sending again", "manager", s.managers[s.manager])
	}
}

// unsent deals with an error of sealed, and returns it.
func (s *session) unsent(now time.Time, err error) error {
	switch {
	case errors.Is(err, errNever):
		return err
	case errors.Is(err, errRefused):
		s.flight.refuse()
		return err
	}
	if now.IsZero() {
		now = time.Now()
	}
	s.retry = now.Add(retryWrite)
	if errors.Is(err, errCount) {
		s.limited.Warn("nothing can be sent", "err", err)
	} else if s.failing.IsZero() {
		s.failing = now
		s.log.Warn("this host cannot send to the manager", "manager", s.managers[s.manager], "err", err, "remedy", "check this host's network and firewall; ossecd keeps trying")
	}
	return err
}

// leave says the last words.
func (s *session) leave() {
	s.settle()
	if s.state == online && s.cfg.Dialect == proto.Wazuh {
		s.write(time.Now(), []byte(proto.Shutdown))
	}
}

// settle waits for the answer that covers what was sent, so that the next process does not send it again.
func (s *session) settle() {
	if !s.out.Keeps() || s.state != online || s.flight.sent == s.flight.covered {
		return
	}
	if s.flight.unasked() {
		s.ask(time.Now())
	}
	late := time.NewTimer(settleWithin)
	defer late.Stop()
	for s.flight.sent != s.flight.covered {
		select {
		case in := <-s.inbox():
			if in.Sign == conversation.NobodyThere {
				return
			}
			if in.Sign != conversation.Said {
				continue
			}
			if in.Kind == proto.ManagerAck {
				s.answered(time.Now(), in.Rest)
			}
		case <-late.C:
			return
		}
	}
}
