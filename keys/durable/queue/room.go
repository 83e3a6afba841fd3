package queue

import (
	"time"
)

// Room is closed when there is room again after ErrFull.
func (q *Queue) Room() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room
}

// Bounds are the numbers of the first record that not all readers have delivered, and of the next that is appended.
func (q *Queue) Bounds() (delivered, next uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.slowest().Record, q.next
}

// Held is what the queue holds: bytes, and the number and time of writing of its oldest segment.
func (q *Queue) Held() (bytes int64, oldest uint64, written time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total, q.segments[0].first, q.segments[0].last
}

// makeRoom makes room for size more bytes, of which the first has a number, and gives the newest segment. Appending is held.
func (q *Queue) makeRoom(first uint64, size int64) (*segment, error) {
	q.mu.Lock()
	limit := q.cfg.Limit
	if q.cfg.Reuse {
		limit -= q.segmentSize() // of the spare file
	}
	full := func() bool { return q.total+size > limit }
	if full() && q.slowest().Record >= q.next && q.newest().size > q.newest().start() {
		q.mu.Unlock()
		if err := q.clear(first); err != nil {
			return nil, err
		}
		q.mu.Lock()
	}
	for full() && len(q.segments) > 1 && !q.held(q.segments[1].first) {
		q.skip(Position{q.segments[1].first, q.segments[1].start(), q.segments[1].first}, nil)
		q.remove()
	}
	newest, isFull := q.newest(), full()
	q.unlock()
	if isFull {
		return nil, ErrFull
	}
	return newest, nil
}

// held says that a reader must not lose what is before a record and has not got it. The lock is held.
func (q *Queue) held(number uint64) bool {
	for _, r := range q.readers {
		if r.hold && r.committed.Record < number {
			return true
		}
	}
	return false
}

// clear begins anew where all was delivered, so that the disk is given back. Appending is held.
func (q *Queue) clear(first uint64) error {
	g, err := q.create(first)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.unlock()
	q.replaceNewest(g)
	for _, r := range q.readers {
		r.committed = Position{first, segmentHead, max(first, r.committed.Record)}
		r.read = r.committed
		q.dirty = append(q.dirty, r)
	}
	q.next = first
	for len(q.segments) > 1 {
		q.remove()
	}
	return nil
}

// slowest is how far all readers have delivered.
func (q *Queue) slowest() Position {
	p := q.readers[0].committed
	for _, r := range q.readers[1:] {
		if r.committed.Record < p.Record {
			p = r.committed
		}
	}
	return p
}

// dropDelivered removes the segments whose records are all delivered, and old enough. The lock is held.
func (q *Queue) dropDelivered() {
	for slowest := q.slowest().Record; len(q.segments) > 1 && q.segments[1].first <= slowest; {
		if q.cfg.Keep > 0 && time.Since(q.segments[0].last) < q.cfg.Keep {
			return
		}
		q.remove()
	}
}

// Expire removes what was kept for Config.Keep.
func (q *Queue) Expire() {
	q.mu.Lock()
	defer q.unlock()
	q.dropDelivered()
}

// remove removes the oldest segment. The lock is held.
func (q *Queue) remove() {
	g := q.segments[0]
	if g.file != nil {
		g.file.Close()
	}
	for _, r := range q.readers {
		r.letGo(g.first)
	}
	q.doomed = append(q.doomed, g.first)
	q.total -= g.size
	q.segments = q.segments[1:]
}

// skip takes readers to a position, or one of them; each counts what it loses by that. The lock is held.
func (q *Queue) skip(to Position, only *Reader) {
	for _, r := range q.readers {
		if only != nil && only != r || r.committed.Record >= to.Record {
			continue
		}
		r.lost += to.Record - r.committed.Record
		r.committed = to
		if r.read.Record < to.Record {
			r.read = to
		}
		q.dirty = append(q.dirty, r)
	}
}

// dropBehind has readers lose what they are too far behind with. The lock is held.
func (q *Queue) dropBehind() {
	end := q.newest().begin + q.newest().size
	for _, r := range q.readers {
		if r.limit == 0 || r.hold || r.committed.Record == q.next {
			continue
		}
		i := q.index(r.committed.Record)
		if i < 0 || end-q.segments[i].begin <= r.limit { // as a rule
			continue
		}
		if to, ok := q.within(i, end-r.limit); ok {
			q.skip(to, r)
		}
	}
}

// within is the first place that is known at or behind one in all segments put end to end. i is a segment before it. The lock is held.
func (q *Queue) within(i int, place int64) (Position, bool) {
	for _, g := range q.segments[i:] {
		if g.begin+g.size < place {
			continue
		}
		if g.begin >= place {
			return Position{g.first, g.start(), g.first}, true
		}
		for _, m := range g.marks {
			if g.begin+m.offset >= place {
				return Position{g.first, m.offset, m.number}, true
			}
		}
	}
	return Position{}, false
}
