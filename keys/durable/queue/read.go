package queue

import (
	"errors"
	"io"
)

// Next is the next record, and goes past it. It is valid until the next call; ok is false where there is none.
func (r *Reader) Next() (record []byte, ok bool) {
	q := r.q
	for {
		q.mu.Lock()
		from := r.read
		if from.Record == q.next || q.closed {
			q.mu.Unlock()
			return nil, false
		}
		g := q.find(from.Segment)
		if from.Offset >= g.size && g != q.newest() {
			r.follow()
			q.mu.Unlock()
			continue
		}
		size := g.size
		file, err := r.open(g.first)
		q.mu.Unlock()
		if err == nil {
			record, err = r.load(g.first, file, from.Offset, size)
		}
		q.mu.Lock()
		switch {
		case q.closed:
		case r.read != from: // the oldest made room meanwhile
		case err != nil:
			r.damaged(g, err)
		default:
			r.read.Offset += int64(recordHead + len(record))
			r.read.Record++
			q.mu.Unlock()
			return record, true
		}
		q.mu.Unlock()
	}
}

// readSize is how much is read at once. The longest record fits.
const readSize = recordHead + MaxRecord

// load reads the record at an offset.
func (r *Reader) load(first uint64, file io.ReaderAt, offset, size int64) ([]byte, error) {
	if r.of == first && offset >= r.at && offset <= r.at+int64(len(r.chunk)) {
		if record, err := open(r.chunk[offset-r.at:]); err == nil {
			return record, nil
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
			return nil, err
		}
		r.chunk, r.of, r.at = r.chunk[:n], first, offset
		record, err := open(r.chunk)
		if err == nil || want == min(size-offset, readSize) {
			return record, err
		}
		want = min(size-offset, readSize)
	}
}

// follow goes on with the next segment. The lock is held.
func (r *Reader) follow() {
	q := r.q
	first := q.segments[q.index(r.read.Segment)+1].first
	r.letGo(r.read.Segment)
	r.lost += first - r.read.Record // none, but where the file was damaged
	r.read = Position{first, 0, first}
}

// damaged goes past what cannot be read of a segment. The lock is held.
func (r *Reader) damaged(g *segment, err error) {
	q := r.q
	end := q.next
	if i := q.index(g.first); i+1 < len(q.segments) {
		end = q.segments[i+1].first
	}
	q.cfg.Log.Error("a part of a queue on disk cannot be read; it is lost", "file", q.path(g.first), "offset", r.read.Offset,
		"records", end-r.read.Record, "err", err, "remedy", "look at the disk")
	r.lost += end - r.read.Record
	r.read.Record, r.read.Offset = end, g.size
}
