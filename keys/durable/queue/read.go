package queue

import (
	"errors"
	"io"
)

// Next is the next record, and goes past it. It is valid until the next call; ok is false where there is none.
func (q *Queue) Next() (record []byte, ok bool) {
	for {
		q.mu.Lock()
		from := q.read
		if from.Event == q.next || q.closed {
			q.mu.Unlock()
			return nil, false
		}
		g := q.find(from.Segment)
		if from.Offset >= g.size && g != q.newest() {
			q.follow()
			q.mu.Unlock()
			continue
		}
		size, err := g.size, q.openFile(g)
		q.mu.Unlock()
		if err == nil {
			record, err = q.load(g, from.Offset, size)
		}
		q.mu.Lock()
		switch {
		case q.read != from: // the oldest made room meanwhile
		case err != nil:
			q.damaged(g, err)
		default:
			q.read.Offset += int64(recordHead + len(record))
			q.read.Event++
			q.mu.Unlock()
			return record, true
		}
		q.mu.Unlock()
	}
}

// readSize is how much is read at once. The longest record fits.
const readSize = recordHead + MaxRecord

// load reads the record at an offset.
func (q *Queue) load(g *segment, offset, size int64) ([]byte, error) {
	if q.of == g.first && offset >= q.at && offset <= q.at+int64(len(q.chunk)) {
		if record, err := open(q.chunk[offset-q.at:]); err == nil {
			return record, nil
		}
	}
	want := min(size-offset, 64<<10)
	for {
		if int64(cap(q.chunk)) < want {
			q.chunk = make([]byte, want)
		}
		n, err := g.file.ReadAt(q.chunk[:want], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			q.of = 0
			return nil, err
		}
		q.chunk, q.of, q.at = q.chunk[:n], g.first, offset
		record, err := open(q.chunk)
		if err == nil || want == min(size-offset, readSize) {
			return record, err
		}
		want = min(size-offset, readSize)
	}
}

// follow goes on with the next segment. mu is held.
func (q *Queue) follow() {
	i := q.index(q.read.Segment)
	if g := q.segments[i]; g.file != nil {
		g.file.Close()
		g.file = nil
	}
	first := q.segments[i+1].first
	q.lost += first - q.read.Event // none, but where the file was damaged
	q.read = Position{first, 0, first}
}

// damaged goes past what cannot be read of a segment. mu is held.
func (q *Queue) damaged(g *segment, err error) {
	end := q.next
	if i := q.index(g.first); i+1 < len(q.segments) {
		end = q.segments[i+1].first
	}
	q.cfg.Log.Error("a part of a queue on disk cannot be read; it is lost", "file", q.path(g.first), "offset", q.read.Offset,
		"events", end-q.read.Event, "err", err, "remedy", "look at the disk")
	q.lost += end - q.read.Event
	q.read.Event, q.read.Offset = end, g.size
}
