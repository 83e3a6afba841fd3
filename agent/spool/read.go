package spool

import (
	"errors"
	"io"

	"ossecd/agent/source"
)

// Next is the next event, and goes past it. It is valid until the next call; ok is false where there is none.
func (s *Spool) Next() (e *source.Event, ok bool) {
	for {
		s.mu.Lock()
		from := s.read
		if from.Event == s.next || s.closed {
			s.mu.Unlock()
			return nil, false
		}
		g := s.find(from.Segment)
		if from.Offset >= g.size && g != s.newest() {
			s.follow()
			s.mu.Unlock()
			continue
		}
		size, err := g.size, s.openFile(g)
		s.mu.Unlock()
		n := 0
		if err == nil {
			n, err = s.load(g, from.Offset, size)
		}
		s.mu.Lock()
		switch {
		case s.read != from: // the oldest made room meanwhile
		case err != nil:
			s.damaged(g, err)
		default:
			s.read.Offset += int64(n)
			s.read.Event++
			s.mu.Unlock()
			return &s.event, true
		}
		s.mu.Unlock()
	}
}

// readSize is how much is read at once. The longest record fits.
const readSize = recordHead + maxBody

// load makes the event at an offset the present one and returns the size of its record.
func (s *Spool) load(g *segment, offset, size int64) (int, error) {
	if s.of == g.first && offset >= s.at && offset <= s.at+int64(len(s.chunk)) {
		if n, err := parseRecord(s.chunk[offset-s.at:], &s.event); err == nil {
			return n, nil
		}
	}
	want := min(size-offset, 64<<10)
	for {
		if int64(cap(s.chunk)) < want {
			s.chunk = make([]byte, want)
		}
		n, err := g.file.ReadAt(s.chunk[:want], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			s.of = 0
			return 0, err
		}
		s.chunk, s.of, s.at = s.chunk[:n], g.first, offset
		used, err := parseRecord(s.chunk, &s.event)
		if err == nil || want == min(size-offset, readSize) {
			return used, err
		}
		want = min(size-offset, readSize)
	}
}

// follow goes on with the next segment. mu is held.
func (s *Spool) follow() {
	i := s.index(s.read.Segment)
	if g := s.segments[i]; g.file != nil {
		g.file.Close()
		g.file = nil
	}
	first := s.segments[i+1].first
	s.lost += first - s.read.Event // none, but where the file was damaged
	s.read = Position{first, 0, first}
}

// damaged goes past what cannot be read of a segment. mu is held.
func (s *Spool) damaged(g *segment, err error) {
	end := s.next
	if i := s.index(g.first); i+1 < len(s.segments) {
		end = s.segments[i+1].first
	}
	s.cfg.Log.Error("a part of the spool cannot be read; its events are lost", "file", s.path(g.first), "offset", s.read.Offset,
		"events", end-s.read.Event, "err", err, "remedy", "look at the disk")
	s.lost += end - s.read.Event
	s.read.Event, s.read.Offset = end, g.size
}
