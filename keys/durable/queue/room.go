package queue

import (
	"errors"
	"os"
	"path/filepath"
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

// makeRoom says whether size more bytes have room, and makes it where that is allowed.
func (q *Queue) makeRoom(size int64) bool {
	if q.total+size > q.cfg.Limit && q.slowest().Record == q.next {
		q.clear()
	}
	for q.cfg.DropOldest && q.total+size > q.cfg.Limit && len(q.segments) > 1 {
		q.dropOldest()
	}
	return q.total+size <= q.cfg.Limit
}

// clear begins anew where all was delivered, so that the disk is given back.
func (q *Queue) clear() {
	if q.newest().size == 0 || q.begin() != nil {
		return
	}
	for _, r := range q.readers {
		r.committed = Position{q.next, 0, q.next}
		r.read = r.committed
		r.save()
	}
	q.dropDelivered()
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

// dropDelivered removes the segments whose records are all delivered.
func (q *Queue) dropDelivered() {
	for first := q.slowest().Segment; q.segments[0].first < first; {
		q.remove()
	}
}

// remove removes the oldest segment.
func (q *Queue) remove() {
	g := q.segments[0]
	if g.file != nil {
		g.file.Close()
	}
	for _, r := range q.readers {
		r.letGo(g.first)
	}
	if err := os.Remove(q.path(g.first)); err != nil && !errors.Is(err, os.ErrNotExist) {
		q.cfg.Log.Warn("a segment of a queue on disk is not removed", "err", err)
	}
	q.total -= g.size
	q.segments = q.segments[1:]
}

// dropOldest loses the oldest segment. Each reader counts what it loses by that.
func (q *Queue) dropOldest() {
	first := q.segments[1].first
	for _, r := range q.readers {
		if r.committed.Record >= first {
			continue
		}
		r.lost += first - r.committed.Record
		r.committed = Position{first, 0, first}
		if r.read.Record < first {
			r.read = r.committed
		}
		r.save()
	}
	q.remove()
}

// lookEvery is how often the files are looked for.
const lookEvery = time.Second

// look notices that somebody has removed or renamed the files, or their directory. What they hold is lost then, and others are made: what
// was written to those would be lost at the end of the process.
func (q *Queue) look() error {
	now := time.Now()
	if now.Sub(q.looked) < lookEvery {
		return nil
	}
	q.looked = now
	if _, err := os.Lstat(q.path(q.newest().first)); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	q.looked = time.Time{} // until all is well
	if err := os.MkdirAll(q.cfg.Dir, 0o700); err != nil {
		return err
	}
	for i, r := range q.readers {
		if err := errors.Join(r.cursor.close(), r.cursor.open(filepath.Join(q.cfg.Dir, placeOf(q.cfg.Readers[i])))); err != nil {
			return err
		}
	}
	old := q.newest()
	old.file.Close()
	if old.size == 0 { // it has the name of the one to come
		q.segments = q.segments[:len(q.segments)-1]
	}
	if err := q.begin(); err != nil {
		return err
	}
	lost := q.next - q.slowest().Record
	for len(q.segments) > 1 {
		q.dropOldest()
	}
	q.looked = now
	q.cfg.Log.Error("somebody has removed the files of a queue on disk", "dir", q.cfg.Dir, "records_lost", lost, "remedy", "leave the directory alone while we run")
	return nil
}
