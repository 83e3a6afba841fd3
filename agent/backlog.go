package agent

import (
	"fmt"

	"ossecd/proto"
)

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
		s.out.Arrived(run.Last.Value())
		if oldest, ok := s.out.Oldest(); !ok || oldest >= run.First.Value() {
			s.out.Arrived(s.flight.coveredCount)
			return
		}
	case !ours && unanswered >= goneAfter:
	default:
		s.out.Arrived(s.flight.coveredCount)
		return
	}
	s.log.Info("the manager was gone for a while", "manager", s.managers[s.manager], "started_anew", another)
	s.flight.restart()
	s.takeBack()
}

// takeBack has what was not covered sent once more, or given up where it is more than ResendMax.
func (s *session) takeBack() {
	if n := s.out.Rewind(); n > 0 {
		s.log.Info("events that nothing answered for are sent again", "count", n)
	}
}

// tellLoss sends the event about events that the spool lost.
func (s *session) tellLoss() {
	lost := s.out.Lost()
	if lost == 0 || !s.mayEmit() {
		return
	}
	text := fmt.Sprintf("ossec: Agent event queue is full: %d events lost.", lost)
	if s.tell("ossecd", text) {
		s.log.Warn("events lost: the spool had no room for them", "count", lost)
		s.out.Told()
	}
}
