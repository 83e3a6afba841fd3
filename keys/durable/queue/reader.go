package queue

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Reader reads the queue for one receiver of its records. Its methods are for one goroutine.
type Reader struct {
	q     *Queue
	name  string
	hold  bool
	limit int64
	start Start
	more  chan struct{} // holds a token when something was appended

	// Under the lock of the queue.
	read      Position
	committed Position
	lost      uint64   // records lost and not told yet
	file      *os.File // of the segment it reads, nil for none
	fileOf    uint64   // which that is

	scan   scanner // of a segment
	scanOf uint64  // which

	saving sync.Mutex // guards cursor; the lock of the queue is taken inside
	cursor cursor
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
	make := func(name string) *Reader {
		o := q.cfg.Options[name]
		return &Reader{q: q, name: name, more: make(chan struct{}, 1), hold: o.Hold || !q.cfg.DropOldest, limit: o.Limit, start: o.Start}
	}
	for _, name := range q.cfg.Readers {
		q.readers = append(q.readers, make(name))
	}
	var gone []string
	for _, place := range places {
		name := strings.TrimPrefix(strings.TrimPrefix(place, placeName), "-")
		if slices.Contains(q.cfg.Readers, name) {
			continue
		}
		r := make(name)
		if q.cfg.KeepAbsent {
			r.hold = false
			q.readers = append(q.readers, r)
			continue
		}
		known, err = r.lookUp(known)
		if err = errors.Join(err, r.cursor.close()); err != nil {
			return known, err
		}
		gone = append(gone, place)
	}
	for _, r := range q.readers {
		if known, err = r.lookUp(known); err != nil {
			return known, err
		}
	}
	defer func() {
		for _, place := range gone { // when the others have their places
			err = errors.Join(err, os.Remove(filepath.Join(q.cfg.Dir, place)))
		}
	}()
	return known, nil
}

// lookUp reads where the reader stood, and says how far the slowest was.
func (r *Reader) lookUp(known Position) (Position, error) {
	if err := r.cursor.open(filepath.Join(r.q.cfg.Dir, placeOf(r.name))); err != nil {
		return known, err
	}
	if p, ok := r.cursor.position(); ok && (known.Record == 0 || p.Record < known.Record) {
		return p, nil
	}
	return known, nil
}

// begin takes a reader to its place or, if it has none, to where it is to begin.
func (r *Reader) begin(known Position) {
	q := r.q
	oldest := q.segments[0]
	at, ok := r.cursor.position()
	ours := r.cursor.old || r.cursor.salt == q.salt
	switch {
	case ok:
	case r.cursor.bad: // rather twice than never
		q.cfg.Log.Warn("the file that says how far a queue on disk was delivered is damaged; all that the queue has is delivered again",
			"file", filepath.Join(q.cfg.Dir, placeOf(r.name)))
		ours = false
	case r.start == Now:
		at, ours = Position{q.newest().first, -1, q.next}, true
	case r.start == AtOldest:
		at, ours = Position{oldest.first, oldest.start(), oldest.first}, true
	default:
		at, ours = known, true
	}
	switch {
	case !ours || at.Record == 0 || at.Record > q.next: // the place is of another queue: rather twice than never
		at = Position{oldest.first, oldest.start(), oldest.first}
	case at.Record < oldest.first:
		r.lost = oldest.first - at.Record
		at = Position{oldest.first, oldest.start(), oldest.first}
	default:
		if g := q.find(at.Segment); g == nil || at.Offset < g.start() || at.Offset > g.size {
			at = Position{q.segments[q.index(at.Record)].first, -1, at.Record}
		}
	}
	r.read, r.committed = at, at
	if !ok { // the next start shall not take it elsewhere; besides, the file has the salt
		q.dirty = append(q.dirty, r)
	}
}

// Absent are the readers whose places were kept, and that are not in Config.Readers: how many records they have not got.
func (q *Queue) Absent() map[string]uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	absent := make(map[string]uint64)
	for _, r := range q.readers[len(q.cfg.Readers):] {
		absent[r.name] = q.next - r.committed.Record
	}
	return absent
}

// Forget gives up the place of an absent reader.
func (q *Queue) Forget(name string) error {
	q.mu.Lock()
	i := slices.IndexFunc(q.readers, func(r *Reader) bool { return r.name == name })
	if i < len(q.cfg.Readers) {
		q.mu.Unlock()
		return nil
	}
	r := q.readers[i]
	q.readers = slices.Delete(slices.Clone(q.readers), i, i+1)
	q.dropDelivered()
	q.unlock()
	return errors.Join(r.close(), os.Remove(filepath.Join(q.cfg.Dir, placeOf(name))))
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
	if p.Record <= r.committed.Record || q.closed {
		q.mu.Unlock()
		return
	}
	r.committed = p
	saved := len(q.segments) > 1 && q.segments[1].first <= p.Record
	if saved { // before anything is removed
		q.dirty = append(q.dirty, r)
	}
	q.dropDelivered()
	if q.slowest().Record >= q.next {
		q.unsynced = q.unsynced[:0] // nothing is left that would have to be kept
	}
	close(q.room)
	q.room = make(chan struct{})
	q.unlock()
	if !saved {
		r.save()
	}
}

// CommitTo says that all before the record with a number was delivered, and Seek goes there: for who got the records elsewhere.
func (r *Reader) CommitTo(number uint64) {
	q := r.q
	q.mu.Lock()
	p := Position{q.segments[max(q.index(number), 0)].first, -1, number}
	q.mu.Unlock()
	r.Commit(p)
}

// Seek goes on with the record of a number.
func (r *Reader) Seek(number uint64) {
	q := r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.read.Record != number {
		r.read = Position{q.segments[max(q.index(number), 0)].first, -1, number}
	}
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

// Committed is the number of the first record that was not committed.
func (r *Reader) Committed() uint64 {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	return r.committed.Record
}

// Behind is about how many bytes were appended since what was committed, and how many there may be before the oldest make room.
func (r *Reader) Behind() (bytes, most int64) {
	q := r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	newest := q.newest()
	if i := q.index(r.committed.Record); i >= 0 && r.committed.Record < q.next {
		bytes = newest.begin + newest.size - q.segments[i].begin - q.segments[i].near(r.committed.Record).Offset
	}
	most = q.cfg.Limit
	if r.limit > 0 {
		most = min(most, r.limit)
	}
	return bytes, most
}

// Lost is how many records this reader lost, to a full queue or a damaged file, since it was last called.
func (r *Reader) Lost() uint64 {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	n := r.lost
	r.lost = 0
	return n
}

// save notes how far all was delivered.
func (r *Reader) save() {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.q.mu.Lock()
	p, closed := r.committed, r.q.closed
	r.q.mu.Unlock()
	if closed {
		return
	}
	if err := r.cursor.save(p, r.q.salt); err != nil {
		r.q.cfg.Log.Warn("how far a queue on disk was delivered is not saved; after a restart some are sent twice", "err", err)
	}
}

// open opens the file of a segment for reading. The lock is held, and free meanwhile: the disk may take its time.
func (r *Reader) open(first uint64) (f *os.File, err error) {
	if r.file != nil && r.fileOf == first {
		return r.file, nil
	}
	r.letGo(r.fileOf)
	r.q.mu.Unlock()
	f, err = os.Open(r.q.path(first))
	r.q.mu.Lock()
	if err != nil {
		return nil, err
	}
	r.file, r.fileOf = f, first
	return f, nil
}

// letGo closes the file of a segment, if it is the one that is read. The lock is held.
func (r *Reader) letGo(first uint64) {
	if r.file != nil && r.fileOf == first {
		r.file.Close()
		r.file = nil
	}
}

func (r *Reader) close() error {
	r.q.mu.Lock()
	r.letGo(r.fileOf)
	r.q.mu.Unlock()
	r.saving.Lock()
	defer r.saving.Unlock()
	return r.cursor.close()
}
