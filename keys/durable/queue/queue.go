// Package queue is a queue on disk: bounded, in order, and whole after a kill. What its records say is up to who puts them in.
//
//	DIR/
//	    cursor               how far all was delivered
//	    0000000000000001     segments: records, each segment named for the number of its first
//	    000000000003a2f7
//
// Records are numbered from 1 on. Appending writes them to the newest segment; reading goes on from where it stood, and
// Rewind takes it back to what was delivered last, so that what was on the way when a receiver vanished is sent again.
// Commit says that all before a position was delivered: segments below it are removed.
//
// What was appended survives a killed process. What a power cut can take is what the system had not written back: see
// Config.Sync.
package queue

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
)

// Config says where the queue is and how much it holds.
type Config struct {
	Dir   string // made where it is missing
	Limit int64  // bytes on disk; at least MinLimit
	// DropOldest has the oldest events make room where the queue is full. Otherwise Append returns ErrFull.
	DropOldest bool
	// Sync is how old undelivered events get at most before they are forced to the disk; 0 never forces them.
	Sync time.Duration
	Log  *slog.Logger
}

// MinLimit is the least that a queue can hold.
const MinLimit = 1 << 20

// ErrFull says that the queue has no room for more; Room tells when it has.
var ErrFull = errors.New("the queue on disk is full")

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

// Queue is a queue on disk. Append may be called by many goroutines; Next, Commit and Rewind by one.
type Queue struct {
	cfg  Config
	room chan struct{} // closed and replaced when Commit made room
	more chan struct{} // holds a token when something was appended

	mu        sync.Mutex
	segments  []*segment // oldest first, never empty; the last is the newest
	total     int64      // bytes of all
	next      uint64     // number of the next record
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
}

// Open opens the queue, and repairs what a crash left: a torn end of the newest segment is cut off.
func Open(cfg Config) (*Queue, error) {
	if cfg.Limit < MinLimit {
		return nil, fmt.Errorf("%d bytes are too few; use at least %d", cfg.Limit, MinLimit)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w; make the directory writable for this user", err)
	}
	q := &Queue{cfg: cfg, room: make(chan struct{}), more: make(chan struct{}, 1)}
	if err := q.open(); err != nil {
		q.closeFiles()
		return nil, fmt.Errorf("%w; make %s writable for this user, or move it away and lose what it holds", err, cfg.Dir)
	}
	if q.next > q.read.Event {
		q.more <- struct{}{}
	}
	return q, nil
}

func (q *Queue) open() error {
	if err := q.cursor.open(filepath.Join(q.cfg.Dir, "cursor")); err != nil {
		return err
	}
	entries, err := os.ReadDir(q.cfg.Dir)
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
		q.segments = append(q.segments, &segment{first: first, size: info.Size()})
		q.total += info.Size()
	}
	slices.SortFunc(q.segments, func(a, b *segment) int { return int(min(max(int64(a.first-b.first), -1), 1)) })
	at, ok := q.cursor.position()
	if len(q.segments) == 0 {
		q.next = 1
		if ok {
			q.next = at.Event
		}
		if err := q.begin(); err != nil {
			return err
		}
	} else if err := q.mendNewest(); err != nil {
		return err
	}
	switch oldest := q.segments[0]; {
	case !ok || at.Segment < oldest.first || at.Event > q.next || q.find(at.Segment) == nil || at.Offset > q.find(at.Segment).size:
		at = Position{oldest.first, 0, oldest.first} // the cursor is older, or of another queue: rather twice than never
	}
	q.read, q.committed = at, at
	q.dropBelow(at.Segment)
	return nil
}

// mendNewest opens the newest segment and cuts off what is no whole record.
func (q *Queue) mendNewest() error {
	newest := q.newest()
	if err := q.openFile(newest); err != nil {
		return err
	}
	events, good, err := scan(newest.file, newest.size)
	if err != nil {
		return err
	}
	q.next = newest.first + events
	if good < newest.size {
		q.cfg.Log.Warn("the end of a queue on disk was torn, as by a crash, and is cut off", "file", newest.file.Name(), "bytes", newest.size-good)
		if err := newest.file.Truncate(good); err != nil {
			return err
		}
		q.total -= newest.size - good
		newest.size = good
	}
	return nil
}

func (q *Queue) path(first uint64) string {
	return filepath.Join(q.cfg.Dir, fmt.Sprintf("%016x", first))
}

func (q *Queue) openFile(g *segment) (err error) {
	if g.file == nil {
		g.file, err = os.OpenFile(q.path(g.first), os.O_RDWR|os.O_CREATE, 0o600)
	}
	return err
}

// begin makes a new segment.
func (q *Queue) begin() error {
	g := &segment{first: q.next}
	if err := q.openFile(g); err != nil {
		return err
	}
	q.segments = append(q.segments, g)
	return nil
}

// segmentSize is from where on a segment is followed by another.
func (q *Queue) segmentSize() int64 { return max(q.cfg.Limit/16, 64<<10) }

// writeSize is about how much is written at once.
const writeSize = 256 << 10

// Append puts n records behind all others, of which add appends the text of the one with an index from 0 on; it says how
// many it has put. Where it is not all of them the error is ErrFull, or the system's.
func (q *Queue) Append(n int, add func(b []byte, i int) []byte) (done int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, os.ErrClosed
	}
	for done < n {
		some := 0
		q.out = q.out[:0]
		for done+some < n && len(q.out) < writeSize {
			start := len(q.out)
			q.out = seal(add(append(q.out, 0, 0, 0, 0, 0, 0, 0, 0), done+some), start)
			some++
		}
		if err := q.write(some); err != nil {
			return done, err
		}
		done += some
	}
	return done, nil
}

// write appends what out holds, some records, in one write.
func (q *Queue) write(n int) error {
	size := int64(len(q.out))
	if !q.makeRoom(size) {
		return ErrFull
	}
	newest := q.newest()
	if newest.size >= q.segmentSize() {
		if err := q.begin(); err != nil {
			return err
		}
		if newest.first != q.read.Segment {
			newest.file.Close()
			newest.file = nil
		}
		newest = q.newest()
	}
	if _, err := newest.file.WriteAt(q.out, newest.size); err != nil {
		newest.file.Truncate(newest.size)
		return err
	}
	newest.size += size
	q.total += size
	q.next += uint64(n)
	q.syncLater(newest.first)
	select {
	case q.more <- struct{}{}:
	default:
	}
	return nil
}

// makeRoom says whether size more bytes have room, and makes it where that is allowed.
func (q *Queue) makeRoom(size int64) bool {
	if q.total+size > q.cfg.Limit && q.next == q.committed.Event {
		q.clear()
	}
	for q.cfg.DropOldest && q.total+size > q.cfg.Limit && len(q.segments) > 1 {
		q.dropOldest()
	}
	return q.total+size <= q.cfg.Limit
}

func (q *Queue) newest() *segment { return q.segments[len(q.segments)-1] }

// clear begins anew where all was delivered, so that the disk is given back.
func (q *Queue) clear() {
	if q.newest().size == 0 || q.begin() != nil {
		return
	}
	q.read = Position{q.next, 0, q.next}
	q.committed = q.read
	q.saveCursor()
	q.dropBelow(q.next)
}

// More has a token when there may be something to read.
func (q *Queue) More() <-chan struct{} { return q.more }

// Room is closed when there is room again after ErrFull.
func (q *Queue) Room() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room
}

// Read is where reading stands: behind the event that Next gave last.
func (q *Queue) Read() Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.read
}

// End is the number that the next record will have.
func (q *Queue) End() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next
}

// Waiting is how many events were not read yet.
func (q *Queue) Waiting() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next - q.read.Event
}

// Size is how many bytes the queue takes on the disk.
func (q *Queue) Size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Commit says that all before p, a result of Read, was delivered.
func (q *Queue) Commit(p Position) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.Event <= q.committed.Event {
		return
	}
	q.committed = p
	q.saveCursor()
	q.dropBelow(p.Segment)
	if p.Event == q.next {
		q.unsynced = q.unsynced[:0] // nothing is left that would have to be kept
	}
	close(q.room)
	q.room = make(chan struct{})
}

// Rewind goes back to what was committed.
func (q *Queue) Rewind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.read = q.committed
}

// Uncommitted is how many events were read and not committed.
func (q *Queue) Uncommitted() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.read.Event - q.committed.Event
}

// Lost is how many records were lost, to a full spool or a damaged file, since it was last called.
func (q *Queue) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.lost
	q.lost = 0
	return n
}

// dropBelow removes the segments whose events are all delivered: those before first.
func (q *Queue) dropBelow(first uint64) {
	for q.segments[0].first < first {
		q.remove()
	}
}

// remove removes the oldest segment.
func (q *Queue) remove() {
	g := q.segments[0]
	if g.file != nil {
		g.file.Close()
	}
	if err := os.Remove(q.path(g.first)); err != nil && !errors.Is(err, os.ErrNotExist) {
		q.cfg.Log.Warn("a segment of a queue on disk is not removed", "err", err)
	}
	q.total -= g.size
	q.segments = q.segments[1:]
}

// dropOldest loses the oldest segment.
func (q *Queue) dropOldest() {
	first := q.segments[1].first
	lost := first - max(q.segments[0].first, q.committed.Event)
	q.remove()
	q.lost += lost
	q.committed = Position{first, 0, first}
	if q.read.Event < first {
		q.read = q.committed
	}
	q.saveCursor()
}

func (q *Queue) saveCursor() {
	if err := q.cursor.save(q.committed); err != nil {
		q.cfg.Log.Warn("how far events were delivered is not saved; after a restart some are sent twice", "err", err)
	}
}

func (q *Queue) index(first uint64) int {
	return slices.IndexFunc(q.segments, func(g *segment) bool { return g.first == first })
}

func (q *Queue) find(first uint64) *segment {
	if i := q.index(first); i >= 0 {
		return q.segments[i]
	}
	return nil
}

// Close saves what is to be saved.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	if q.timer != nil && q.timer.Stop() && len(q.unsynced) > 0 {
		q.mu.Unlock()
		q.sync()
		q.mu.Lock()
	}
	return q.closeFiles()
}

func (q *Queue) closeFiles() error {
	err := q.cursor.close()
	for _, g := range q.segments {
		if g.file != nil {
			err = errors.Join(err, g.file.Close())
		}
	}
	return err
}
