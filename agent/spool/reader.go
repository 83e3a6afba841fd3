package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"ossecd/agent/source"
)

// Reader reads the spool for one receiver of its events. Its methods are for one goroutine.
type Reader struct {
	s    *Spool
	more chan struct{} // holds a token when something was appended

	// Under the lock of the spool.
	read      Position
	committed Position
	cursor    cursor
	lost      uint64   // events lost and not told yet
	file      *os.File // of the segment it reads, nil for none
	fileOf    uint64   // which that is

	chunk []byte // of a segment; what was written there never changes
	of    uint64 // which
	at    int64  // where chunk begins in it
	event source.Event
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
func (s *Spool) openReaders(places []string) (known Position, err error) {
	for _, name := range places {
		var c cursor
		err := c.open(filepath.Join(s.cfg.Dir, name))
		if err = errors.Join(err, c.close()); err != nil {
			return known, err
		}
		if p, ok := c.position(); ok && (known.Event == 0 || p.Event < known.Event) {
			known = p
		}
	}
	for _, name := range s.cfg.Readers {
		r := &Reader{s: s, more: make(chan struct{}, 1)}
		s.readers = append(s.readers, r)
		if err := r.cursor.open(filepath.Join(s.cfg.Dir, placeOf(name))); err != nil {
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
	s := r.s
	g := s.find(at.Segment)
	if g == nil || at.Event > s.next || at.Offset > g.size {
		oldest := s.segments[0].first
		at = Position{oldest, 0, oldest} // the place is older, or of another spool: rather twice than never
	}
	r.read, r.committed = at, at
	if !ok && (known.Event > 0 || len(s.readers) > 1) { // the next start shall not take it to the place of another
		r.save()
	}
}

// dropPlaces removes the files of readers that are no more.
func (s *Spool) dropPlaces(places []string) (err error) {
	for _, name := range places {
		if !slices.ContainsFunc(s.cfg.Readers, func(r string) bool { return placeOf(r) == name }) {
			err = errors.Join(err, os.Remove(filepath.Join(s.cfg.Dir, name)))
		}
	}
	return err
}

// More has a token when there may be something to read.
func (r *Reader) More() <-chan struct{} { return r.more }

// Read is where reading stands: behind the event that Next gave last.
func (r *Reader) Read() Position {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.read
}

// Waiting is how many events were not read yet.
func (r *Reader) Waiting() uint64 {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.next - r.read.Event
}

// Commit says that all before p, a result of Read, was delivered.
func (r *Reader) Commit(p Position) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Event <= r.committed.Event {
		return
	}
	r.committed = p
	r.save()
	s.dropDelivered()
	if s.slowest().Event == s.next {
		s.unsynced = s.unsynced[:0] // nothing is left that would have to be kept
	}
	close(s.room)
	s.room = make(chan struct{})
}

// Rewind goes back to what was committed.
func (r *Reader) Rewind() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.read = r.committed
}

// Uncommitted is how many events were read and not committed.
func (r *Reader) Uncommitted() uint64 {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.read.Event - r.committed.Event
}

// Lost is how many events this reader lost, to a full spool or a damaged file, since it was last called.
func (r *Reader) Lost() uint64 {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	n := r.lost
	r.lost = 0
	return n
}

// save notes how far all was delivered. The lock is held.
func (r *Reader) save() {
	if err := r.cursor.save(r.committed); err != nil {
		r.s.cfg.Log.Warn("how far events were delivered is not saved; after a restart some are sent twice", "err", err)
	}
}

// open opens the file of a segment for reading. The lock is held.
func (r *Reader) open(first uint64) (f *os.File, err error) {
	if r.file != nil && r.fileOf == first {
		return r.file, nil
	}
	r.letGo(r.fileOf)
	r.file, err = os.Open(r.s.path(first))
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
