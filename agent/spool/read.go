package spool

import (
	"errors"
	"io"

	"ossecd/agent/source"
)

// Next is the next event, and goes past it. It is valid until the next call; ok is false where there is none.
func (r *Reader) Next() (e *source.Event, ok bool) {
	s := r.s
	for {
		s.mu.Lock()
		from := r.read
		if from.Event == s.next || s.closed {
			s.mu.Unlock()
			return nil, false
		}
		g := s.find(from.Segment)
		if from.Offset >= g.size && g != s.newest() {
			r.follow()
			s.mu.Unlock()
			continue
		}
		size := g.size
		file, err := r.open(g.first)
		s.mu.Unlock()
		n := 0
		if err == nil {
			n, err = r.load(g.first, file, from.Offset, size)
		}
		s.mu.Lock()
		switch {
		case r.read != from: // the oldest made room meanwhile
		case err != nil:
			r.damaged(g, err)
		default:
			r.read.Offset += int64(n)
			r.read.Event++
			s.mu.Unlock()
			return &r.event, true
		}
		s.mu.Unlock()
	}
}

// readSize is how much is read at once. The longest record fits.
const readSize = recordHead + maxBody

// load makes the event at an offset the present one and returns the size of its record.
func (r *Reader) load(first uint64, file io.ReaderAt, offset, size int64) (int, error) {
	if r.of == first && offset >= r.at && offset <= r.at+int64(len(r.chunk)) {
		if n, err := parseRecord(r.chunk[offset-r.at:], &r.event); err == nil {
			return n, nil
		}
	}
	want := min(size-offset, 64<<10)
	for {
		if int64(cap(r.chunk)) < want {
			r.chunk = make([]byte, want)
		}
		n, err := file.ReadAt(r.chunk[:want], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			r.of = 0
			return 0, err
		}
		r.chunk, r.of, r.at = r.chunk[:n], first, offset
		used, err := parseRecord(r.chunk, &r.event)
		if err == nil || want == min(size-offset, readSize) {
			return used, err
		}
		want = min(size-offset, readSize)
	}
}

// follow goes on with the next segment. The lock is held.
func (r *Reader) follow() {
	s := r.s
	first := s.segments[s.index(r.read.Segment)+1].first
	r.letGo(r.read.Segment)
	r.lost += first - r.read.Event // none, but where the file was damaged
	r.read = Position{first, 0, first}
}

// damaged goes past what cannot be read of a segment. The lock is held.
func (r *Reader) damaged(g *segment, err error) {
	s := r.s
	end := s.next
	if i := s.index(g.first); i+1 < len(s.segments) {
		end = s.segments[i+1].first
	}
	s.cfg.Log.Error("a part of the spool cannot be read; its events are lost", "file", s.path(g.first), "offset", r.read.Offset,
		"events", end-r.read.Event, "err", err, "remedy", "look at the disk")
	r.lost += end - r.read.Event
	r.read.Event, r.read.Offset = end, g.size
}
