package queue

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// Reader reads the queue for one receiver of its records. Its methods are for one goroutine.
type Reader struct {
	q    *Queue
	more chan struct{} // holds a token when something was appended

	// Under the lock of the queue.
	read      Position
	committed Position
	cursor    cursor
	lost      uint64   // records lost and not told yet
	file      *os.File // of the segment it reads, nil for none
	fileOf    uint64   // which that is

	chunk []byte // of a segment; what was written there never changes
	of    uint64 // which
	at    int64  // where chunk begins in it
}

// placeName is the file that says how far a reader without a name is; the others' have their names behind it.
const placeName = "cursor"

func placeOf(reader string) string {
	if reader == "" {
		return placeName
	}
	return placeName + "-" + reader
}

// openReaders makes the readers. known is how far the slowest of those before was, zero where there were none.
func (q *Queue) openReaders(places []string) (known Position, err error) {
	for _, name := range places {
		var c cursor
		err := c.open(filepath.Join(q.cfg.Dir, name))
		if err = errors.Join(err, c.close()); err != nil {
			return known, err
		}
		if p, ok := c.position(); ok && (known.Record == 0 || p.Record < known.Record) {
			known = p
		}
	}
	for _, name := range q.cfg.Readers {
		r := &Reader{q: q, more: make(chan struct{}, 1)}
		q.readers = append(q.readers, r)
		if err := r.cursor.open(filepath.Join(q.cfg.Dir, placeOf(name))); err != nil {
			return known, err
		}
	}
	return known, nil
}

// begin takes a reader to its place or, if it has none, to where the slowest of those before stood.
func (r *Reader) begin(known Position) {
	at, ok := r.cursor.position()
	if !ok {
		at = known
	}
	q := r.q
	g := q.find(at.Segment)
	if g == nil || at.Record > q.next || at.Offset > g.size {
		oldest := q.segments[0].first
		at = Position{oldest, 0, oldest} // the place is older, or of another queue: rather twice than never
	}
	r.read, r.committed = at, at
	if !ok && (known.Record > 0 || len(q.readers) > 1) { // the next start shall not take it to the place of another
		r.save()
	}
}

// dropPlaces removes the files of readers that are no more.
func (q *Queue) dropPlaces(places []string) (err error) {
	for _, name := range places {
		if !slices.ContainsFunc(q.cfg.Readers, func(r string) bool { return placeOf(r) == name }) {
			err = errors.Join(err, os.Remove(filepath.Join(q.cfg.Dir, name)))
		}
	}
	return err
}

// More has a token when there may be something to read.
func (r *Reader) More() <-chan struct{} { return r.more }

// Read is where reading stands: behind the record that Next gave last.
func (r *Reader) Read() Position {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	return r.read
}

// Waiting is how many records were not read yet.
func (r *Reader) Waiting() uint64 {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	return r.q.next - r.read.Record
}

// Commit says that all before p, a result of Read, was delivered.
func (r *Reader) Commit(p Position) {
	q := r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.Record <= r.committed.Record || q.closed {
		return
	}
	r.committed = p
	r.save()
	q.dropDelivered()
	if q.slowest().Record == q.next {
		q.unsynced = q.unsynced[:0] // nothing is left that would have to be kept
	}
	close(q.room)
	q.room = make(chan struct{})
}

// Rewind goes back to what was committed.
func (r *Reader) Rewind() {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	r.read = r.committed
}

// Uncommitted is how many records were read and not committed.
func (r *Reader) Uncommitted() uint64 {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	return r.read.Record - r.committed.Record
}

// Lost is how many records this reader lost, to a full queue or a damaged file, since it was last called.
func (r *Reader) Lost() uint64 {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	n := r.lost
	r.lost = 0
	return n
}

// save notes how far all was delivered. The lock is held.
func (r *Reader) save() {
	if err := r.cursor.save(r.committed); err != nil {
		r.q.cfg.Log.Warn("how far a queue on disk was delivered is not saved; after a restart some are sent twice", "err", err)
	}
}

// open opens the file of a segment for reading. The lock is held.
func (r *Reader) open(first uint64) (f *os.File, err error) {
	if r.file != nil && r.fileOf == first {
		return r.file, nil
	}
	r.letGo(r.fileOf)
	r.file, err = os.Open(r.q.path(first))
	r.fileOf = first
	return r.file, err
}

// letGo closes the file of a segment, if it is the one that is read. The lock is held.
func (r *Reader) letGo(first uint64) {
	if r.file != nil && r.fileOf == first {
		r.file.Close()
		r.file = nil
	}
}

func (r *Reader) close() error {
	r.letGo(r.fileOf)
	return r.cursor.close()
}
