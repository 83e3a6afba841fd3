package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"ossecd/agent/source"
	"ossecd/agent/spool"
	"ossecd/keys/durable/queue"
	"ossecd/proto"
)

// What stands between the sources and the channel. With a spool, Emit appends to it, and the session sends from it; what
// no answered keepalive covers when a manager is lost is sent again to the next one. Without a spool the session takes
// batches from Emit itself, and sources wait while it cannot send.

// openSpool opens the spool, if there is to be one.
func (c *Config) openSpool(log *slog.Logger) (*spool.Spool, error) {
	if c.SpoolSize == 0 {
		return nil, nil
	}
	return spool.Open(queue.Config{Dir: filepath.Join(c.State, "spool"), Limit: c.SpoolSize, DropOldest: c.SpoolDropOldest, Sync: c.SpoolSync, Readers: c.readers(), Log: log})
}

// shareOf is how many bytes of the spool one of so many sources may fill, 0 for no bound.
func (c *Config) shareOf(sources int) int64 {
	if sources < 2 || c.SpoolDropOldest || c.SourceShare == 100 {
		return 0
	}
	return c.SpoolSize / 100 * int64(c.SourceShare)
}

// put puts a batch into the spool, and says how many events are in it. It waits while there is no room. Where the disk
// takes nothing, the session takes what is left, once it has sent all that the spool holds.
func (o *output) put(ctx context.Context, batch []source.Event) (n int, err error) {
	in := o.intake
	for n < len(batch) {
		room := in.spool.Room()
		mine, err := o.mine(ctx, batch[n:])
		if err != nil {
			return n, err
		}
		some, err := in.spool.Append(batch[n:][:mine])
		o.took(batch[n:][:some])
		n += some
		switch {
		case err == nil:
			continue
		case errors.Is(err, queue.ErrFull):
			o.limited.Warn("the spool is full; sources wait", "remedy", "find out why no manager takes events, or raise --spool-size")
			select {
			case <-room:
			case <-ctx.Done():
				return n, ctx.Err()
			case <-in.done:
				return n, context.Canceled
			}
		case len(in.sessions) > 1: // which would not all come as far
			o.limited.Warn("the spool cannot be written; sources wait", "err", err, "remedy", "free space on the disk, or repair it")
			select {
			case <-time.After(spoolAgain):
			case <-ctx.Done():
				return n, ctx.Err()
			case <-in.done:
				return n, context.Canceled
			}
		default:
			o.limited.Warn("the spool cannot be written; events are sent at once, or wait", "err", err, "remedy", "free space on the disk, or repair it")
			again, cancel := context.WithTimeout(ctx, spoolAgain)
			some, err := o.hand(again, batch[n:])
			cancel()
			n += some
			if err != nil && (ctx.Err() != nil || errors.Is(err, context.Canceled)) {
				return n, err
			}
		}
	}
	return n, nil
}

// peek makes sure of the next event of the spool, and says whether there is one.
func (s *session) peek() bool {
	if s.next == nil && s.spool != nil {
		if e, ok := s.spool.Next(); ok {
			s.next = e
		}
	}
	return s.next != nil
}

// emitSpooled sends a slice of what the spool holds.
func (s *session) emitSpooled() {
	for range slice {
		if !s.peek() || !s.mayEmit() {
			break
		}
		before := s.flight.mark
		s.flight.mark = s.spool.Read() // a keepalive that goes out with this event speaks for it, too
		if !s.emitOne(s.next, true) {
			s.flight.mark = before
			break
		}
		s.next = nil
	}
	s.flush(time.Time{})
}

// unsend takes the last n events back that were noted as sent, and goes on in the spool where they begin.
func (s *session) unsend(n int) {
	first := len(s.unsure) - n
	begin := s.unsure[first].end.Record - 1
	for _, e := range s.unsure[first:] {
		s.flight.sent -= e.charge
	}
	s.unsure = s.unsure[:first]
	s.next = nil
	s.spool.Rewind()
	for s.spool.Read().Record < begin {
		if _, ok := s.spool.Next(); !ok {
			break
		}
	}
	s.flight.mark = s.spool.Read()
}

// more tells of events in the spool; nil without one.
func (s *session) more() <-chan struct{} {
	if s.spool == nil {
		return nil
	}
	return s.spool.More()
}

// sentEvent is an event of the spool on its way.
type sentEvent struct {
	count  uint64         // that it was sent with
	charge uint64         // in the flight
	end    queue.Position // behind it
}

// noteSent notes that an event was sent, in a datagram of so many bytes, if it is one of the spool.
func (s *session) noteSent(size int) {
	if s.next != nil {
		s.unsure = append(s.unsure, sentEvent{s.sealed.envelope.Counter.Value(), charge(size), s.flight.mark})
	}
}

// settleUp draws the conclusions of an answer: what is known to have arrived is done with, and what is likely to have gone to
// nobody is sent again. unanswered is how many keepalives before the answered one had no answer; behind is what stands behind
// the ack.
func (s *session) settleUp(unanswered int, behind []byte) {
	run, ours := proto.ParseRun(behind)
	another := ours && s.runName != run.Name // than the one that was known, if any was
	if ours {
		s.runName = run.Name
	}
	switch {
	case another:
		// What earlier runs counted has arrived, and so has what this one did; what is between them has not.
		for len(s.unsure) > 0 && s.unsure[0].count <= run.Last.Value() {
			s.arrived(s.unsure[0].end)
		}
		if len(s.unsure) == 0 || s.unsure[0].count >= run.First.Value() {
			s.arrived(s.flight.coveredMark)
			return
		}
	case !ours && unanswered >= goneAfter:
	default:
		s.arrived(s.flight.coveredMark)
		return
	}
	s.log.Info("the manager was gone for a while", "manager", s.managers[s.manager], "started_anew", another)
	s.flight.restart()
	s.takeBack()
}

// arrived says that all before p was delivered.
func (s *session) arrived(p queue.Position) {
	s.spool.Commit(p)
	n := 0
	for n < len(s.unsure) && s.unsure[n].end.Record <= p.Record {
		n++
	}
	s.unsure = append(s.unsure[:0], s.unsure[n:]...)
}

// takeBack has what was not covered sent once more, or given up where it is more than ResendMax.
func (s *session) takeBack() {
	if s.spool == nil {
		return
	}
	s.unsure = s.unsure[:0]
	n := s.spool.Uncommitted()
	if s.next != nil {
		n, s.next = max(n, 1)-1, nil // this one was not sent; it may have made room meanwhile
	}
	s.spool.Rewind()
	if n > uint64(s.cfg.ResendMax) {
		for range n - uint64(s.cfg.ResendMax) {
			s.spool.Next()
		}
		s.spool.Commit(s.spool.Read())
		n = uint64(s.cfg.ResendMax)
	}
	if n > 0 {
		s.log.Info("events that nothing answered for are sent again", "count", n)
	}
}

// tellLoss sends the event about events that the spool lost.
func (s *session) tellLoss() {
	if s.spool == nil {
		return
	}
	if s.lost += s.spool.Lost(); s.lost == 0 || !s.mayEmit() {
		return
	}
	text := fmt.Sprintf("ossec: Agent event queue is full: %d events lost.", s.lost)
	if s.emitOne(&source.Event{Queue: '1', Location: "ossecd", Message: []byte(text)}, false) {
		s.log.Warn("events lost: the spool had no room for them", "count", s.lost)
		s.lost = 0
	}
}
