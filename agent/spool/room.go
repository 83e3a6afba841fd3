package spool

import (
	"errors"
	"os"
)

// Room is closed when there is room again after ErrFull.
func (s *Spool) Room() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

// Bounds are the numbers of the first event that not all readers have delivered, and of the next that is appended.
func (s *Spool) Bounds() (delivered, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slowest().Event, s.next
}

// makeRoom says whether size more bytes have room, and makes it where that is allowed.
func (s *Spool) makeRoom(size int64) bool {
	if s.total+size > s.cfg.Limit && s.slowest().Event == s.next {
		s.clear()
	}
	for s.cfg.DropOldest && s.total+size > s.cfg.Limit && len(s.segments) > 1 {
		s.dropOldest()
	}
	return s.total+size <= s.cfg.Limit
}

// clear begins anew where all was delivered, so that the disk is given back.
func (s *Spool) clear() {
	if s.newest().size == 0 || s.begin() != nil {
		return
	}
	for _, r := range s.readers {
		r.committed = Position{s.next, 0, s.next}
		r.read = r.committed
		r.save()
	}
	s.dropDelivered()
}

// slowest is how far all readers have delivered.
func (s *Spool) slowest() Position {
	p := s.readers[0].committed
	for _, r := range s.readers[1:] {
		if r.committed.Event < p.Event {
			p = r.committed
		}
	}
	return p
}

// dropDelivered removes the segments whose events are all delivered.
func (s *Spool) dropDelivered() {
	for first := s.slowest().Segment; s.segments[0].first < first; {
		s.remove()
	}
}

// remove removes the oldest segment.
func (s *Spool) remove() {
	g := s.segments[0]
	if g.file != nil {
		g.file.Close()
	}
	for _, r := range s.readers {
		r.letGo(g.first)
	}
	if err := os.Remove(s.path(g.first)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Log.Warn("a segment of the spool is not removed", "err", err)
	}
	s.total -= g.size
	s.segments = s.segments[1:]
}

// dropOldest loses the oldest segment. Each reader counts what it loses by that.
func (s *Spool) dropOldest() {
	first := s.segments[1].first
	for _, r := range s.readers {
		if r.committed.Event >= first {
			continue
		}
		r.lost += first - r.committed.Event
		r.committed = Position{first, 0, first}
		if r.read.Event < first {
			r.read = r.committed
		}
		r.save()
	}
	s.remove()
}
