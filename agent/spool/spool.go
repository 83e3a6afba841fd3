// Package spool is the agent's queue on disk, between its sources and the channel: bounded, in order, and whole after a
// kill.
//
//	STATE/spool/
//	    cursor               how far all was delivered
//	    0000000000000001     segments: records of events, each named for the number of its first event
//	    000000000003a2f7
//
// Events are numbered from 1 on. Appending writes them to the newest segment; reading goes on from where it stood, and
// Rewind takes it back to what was delivered last, so that what was on the way when a manager vanished is sent again.
// Commit says that all before a position was delivered: segments below it are removed.
//
// What was appended survives a killed process. What a power cut can take is what the system had not written back: see
// Config.Sync.
package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"ossecd/agent/source"
)

// Config says where the spool is and how much it holds.
type Config struct {
	Dir   string // made where it is missing
	Limit int64  // bytes on disk; at least MinLimit
	// DropOldest has the oldest events make room where the spool is full. Otherwise Append returns ErrFull.
	DropOldest bool
	// Sync is how old undelivered events get at most before they are forced to the disk; 0 never forces them.
	Sync time.Duration
	Log  *slog.Logger
}

// MinLimit is the least that a spool can hold.
const MinLimit = 1 << 20

// ErrFull says that the spool has no room for more; Room tells when it has.
var ErrFull = errors.New("the spool is full")

// Position is a place between two events.
type Position struct {
	Segment uint64 // number of the first event of the segment
	Offset  int64  // in the segment's file
	Event   uint64 // number of the event that begins here
}

// segment is one file.
type segment struct {
	first uint64 // number of its first event
	size  int64
	file  *os.File // open for the newest and for the one that is read
}

// Spool is a queue on disk. Append may be called by many goroutines; Next, Commit and Rewind by one.
type Spool struct {
	cfg  Config
	room chan struct{} // closed and replaced when Commit made room
	more chan struct{} // holds a token when something was appended

	mu        sync.Mutex
	segments  []*segment // oldest first, never empty; the last is the newest
	total     int64      // bytes of all
	next      uint64     // number of the next event
	read      Position
	committed Position
	cursor    cursor
	lost      uint64   // events lost and not told yet
	unsynced  []uint64 // segments with undelivered events that are not forced to the disk
	timer     *time.Timer
	closed    bool
	out       []byte // records being appended

	// Of the reader.
	chunk []byte // of a segment; what was written there never changes
	of    uint64 // which
	at    int64  // where chunk begins in it
	event source.Event
}

// Open opens the spool, and repairs what a crash left: a torn end of the newest segment is cut off.
func Open(cfg Config) (*Spool, error) {
	if cfg.Limit < MinLimit {
		return nil, fmt.Errorf("spool: %d bytes are too few; use at least %d", cfg.Limit, MinLimit)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w; make the directory writable for this user", err)
	}
	s := &Spool{cfg: cfg, room: make(chan struct{}), more: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("spool: %w; make %s writable for this user, or move it away and lose what it holds", err, cfg.Dir)
	}
	if s.next > s.read.Event {
		s.more <- struct{}{}
	}
	return s, nil
}

func (s *Spool) open() error {
	if err := s.cursor.open(filepath.Join(s.cfg.Dir, "cursor")); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		first, err := strconv.ParseUint(e.Name(), 16, 64)
		if err != nil || len(e.Name()) != 16 || first == 0 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		s.segments = append(s.segments, &segment{first: first, size: info.Size()})
		s.total += info.Size()
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return int(min(max(int64(a.first-b.first), -1), 1)) })
	at, ok := s.cursor.position()
	if len(s.segments) == 0 {
		s.next = 1
		if ok {
			s.next = at.Event
		}
		if err := s.begin(); err != nil {
			return err
		}
	} else if err := s.mendNewest(); err != nil {
		return err
	}
	switch oldest := s.segments[0]; {
	case !ok || at.Segment < oldest.first || at.Event > s.next || s.find(at.Segment) == nil || at.Offset > s.find(at.Segment).size:
		at = Position{oldest.first, 0, oldest.first} // the cursor is older, or of another spool: rather twice than never
	}
	s.read, s.committed = at, at
	s.dropBelow(at.Segment)
	return nil
}

// mendNewest opens the newest segment and cuts off what is no whole record.
func (s *Spool) mendNewest() error {
	newest := s.newest()
	if err := s.openFile(newest); err != nil {
		return err
	}
	events, good, err := scan(newest.file, newest.size)
	if err != nil {
		return err
	}
	s.next = newest.first + events
	if good < newest.size {
		s.cfg.Log.Warn("the end of the spool was torn, as by a crash, and is cut off", "file", newest.file.Name(), "bytes", newest.size-good)
		if err := newest.file.Truncate(good); err != nil {
			return err
		}
		s.total -= newest.size - good
		newest.size = good
	}
	return nil
}

func (s *Spool) path(first uint64) string {
	return filepath.Join(s.cfg.Dir, fmt.Sprintf("%016x", first))
}

func (s *Spool) openFile(g *segment) (err error) {
	if g.file == nil {
		g.file, err = os.OpenFile(s.path(g.first), os.O_RDWR|os.O_CREATE, 0o600)
	}
	return err
}

// begin makes a new segment.
func (s *Spool) begin() error {
	g := &segment{first: s.next}
	if err := s.openFile(g); err != nil {
		return err
	}
	s.segments = append(s.segments, g)
	return nil
}

// segmentSize is from where on a segment is followed by another.
func (s *Spool) segmentSize() int64 { return max(s.cfg.Limit/16, 64<<10) }

// Append puts events behind all others, and says how many. Where it is not all of them the error is ErrFull, or the
// system's.
func (s *Spool) Append(events []source.Event) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, os.ErrClosed
	}
	for n < len(events) {
		some, err := s.appendSome(events[n:])
		if err != nil {
			return n, err
		}
		n += some
	}
	return n, nil
}

// writeSize is about how much is written at once.
const writeSize = 256 << 10

// appendSome appends at least one event in one write.
func (s *Spool) appendSome(events []source.Event) (n int, err error) {
	s.out = s.out[:0]
	for n < len(events) && len(s.out) < writeSize {
		s.out = appendRecord(s.out, &events[n])
		n++
	}
	size := int64(len(s.out))
	if !s.makeRoom(size) {
		return 0, ErrFull
	}
	newest := s.newest()
	if newest.size >= s.segmentSize() {
		if err := s.begin(); err != nil {
			return 0, err
		}
		if newest.first != s.read.Segment {
			newest.file.Close()
			newest.file = nil
		}
		newest = s.newest()
	}
	if _, err := newest.file.WriteAt(s.out, newest.size); err != nil {
		newest.file.Truncate(newest.size)
		return 0, err
	}
	newest.size += size
	s.total += size
	s.next += uint64(n)
	s.syncLater(newest.first)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return n, nil
}

// makeRoom says whether size more bytes have room, and makes it where that is allowed.
func (s *Spool) makeRoom(size int64) bool {
	if s.total+size > s.cfg.Limit && s.next == s.committed.Event {
		s.clear()
	}
	for s.cfg.DropOldest && s.total+size > s.cfg.Limit && len(s.segments) > 1 {
		s.dropOldest()
	}
	return s.total+size <= s.cfg.Limit
}

func (s *Spool) newest() *segment { return s.segments[len(s.segments)-1] }

// clear begins anew where all was delivered, so that the disk is given back.
func (s *Spool) clear() {
	if s.newest().size == 0 || s.begin() != nil {
		return
	}
	s.read = Position{s.next, 0, s.next}
	s.committed = s.read
	s.saveCursor()
	s.dropBelow(s.next)
}

// More has a token when there may be something to read.
func (s *Spool) More() <-chan struct{} { return s.more }

// Room is closed when there is room again after ErrFull.
func (s *Spool) Room() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

// Read is where reading stands: behind the event that Next gave last.
func (s *Spool) Read() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

// Waiting is how many events were not read yet.
func (s *Spool) Waiting() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next - s.read.Event
}

// Commit says that all before p, a result of Read, was delivered.
func (s *Spool) Commit(p Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Event <= s.committed.Event {
		return
	}
	s.committed = p
	s.saveCursor()
	s.dropBelow(p.Segment)
	if p.Event == s.next {
		s.unsynced = s.unsynced[:0] // nothing is left that would have to be kept
	}
	close(s.room)
	s.room = make(chan struct{})
}

// Rewind goes back to what was committed.
func (s *Spool) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = s.committed
}

// Uncommitted is how many events were read and not committed.
func (s *Spool) Uncommitted() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read.Event - s.committed.Event
}

// Lost is how many events were lost, to a full spool or a damaged file, since it was last called.
func (s *Spool) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.lost
	s.lost = 0
	return n
}

// dropBelow removes the segments whose events are all delivered: those before first.
func (s *Spool) dropBelow(first uint64) {
	for s.segments[0].first < first {
		s.remove()
	}
}

// remove removes the oldest segment.
func (s *Spool) remove() {
	g := s.segments[0]
	if g.file != nil {
		g.file.Close()
	}
	if err := os.Remove(s.path(g.first)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Log.Warn("a segment of the spool is not removed", "err", err)
	}
	s.total -= g.size
	s.segments = s.segments[1:]
}

// dropOldest loses the oldest segment.
func (s *Spool) dropOldest() {
	first := s.segments[1].first
	lost := first - max(s.segments[0].first, s.committed.Event)
	s.remove()
	s.lost += lost
	s.committed = Position{first, 0, first}
	if s.read.Event < first {
		s.read = s.committed
	}
	s.saveCursor()
}

func (s *Spool) saveCursor() {
	if err := s.cursor.save(s.committed); err != nil {
		s.cfg.Log.Warn("how far events were delivered is not saved; after a restart some are sent twice", "err", err)
	}
}

func (s *Spool) index(first uint64) int {
	return slices.IndexFunc(s.segments, func(g *segment) bool { return g.first == first })
}

func (s *Spool) find(first uint64) *segment {
	if i := s.index(first); i >= 0 {
		return s.segments[i]
	}
	return nil
}

// Close saves what is to be saved.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.timer != nil && s.timer.Stop() && len(s.unsynced) > 0 {
		s.mu.Unlock()
		s.sync()
		s.mu.Lock()
	}
	return s.closeFiles()
}

func (s *Spool) closeFiles() error {
	err := s.cursor.close()
	for _, g := range s.segments {
		if g.file != nil {
			err = errors.Join(err, g.file.Close())
		}
	}
	return err
}
