// Package queue is a queue on disk: bounded, in order, and whole after a kill. What its records say is up to who puts them in.
//
//	DIR/
//	    cursor               how far all was delivered; cursor-NAME for each of several readers
//	    0000000000000001     segments: records, each segment named for the number of its first
//	    000000000003a2f7
//
// Records are numbered from 1 on, or from Config.First. Appending writes them to the newest segment. Each Reader reads them all: it goes on from where
// it stood, and Rewind takes it back to what was delivered last, so that what was on the way when a receiver vanished is sent again.
// Commit says that all before a position was delivered: segments below those of all readers are removed.
//
// What was appended survives a killed process. What a power cut can take is what the system had not written back: see
// Config.Sync. Damage costs the records that it hit.
package queue

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ossecd/keys/limitlog"
)

// Config says where the queue is and how much it holds.
type Config struct {
	Dir   string // made where it is missing
	Limit int64  // bytes on disk; at least MinLimit
	// DropOldest has the oldest records make room where the queue is full. Otherwise Append returns ErrFull.
	DropOldest bool
	// Sync is how old undelivered records get at most before they are forced to the disk; 0 never forces them.
	Sync time.Duration
	// Keep is how long records stay at least that all readers are done with, as long as there is room.
	Keep time.Duration
	// Readers names the readers, in letters, digits, -, _ and =; their places are kept under these names. Default: one without a
	// name.
	Readers []string
	// Options are what is special about some readers, by name.
	Options map[string]Options
	// KeepAbsent keeps the places of readers that are not in Readers any more, and what they have not got; otherwise they are removed.
	KeepAbsent bool
	// Reuse keeps the file of a segment that is done with for the next one: writing over blocks that there are costs about half of what
	// new ones cost.
	Reuse bool
	// First is the number of the first record of a queue that is new; 0 is 1.
	First uint64
	// Visit is called by Open with each record of the newest segment. May be nil.
	Visit func(record []byte)
	Log   *slog.Logger
}

// Options are what is special about a reader.
type Options struct {
	Hold  bool  // its records do not make room, even with DropOldest
	Limit int64 // bytes that it may be behind; 0 is no bound but that of the queue
	Start Start
}

// Start is where a reader begins that was not there before.
type Start int

const (
	AtSlowest Start = iota // where the slowest of those before stood
	AtOldest
	Now
)

// MinLimit is the least that a queue can hold.
const MinLimit = 1 << 20

// ErrFull says that the queue has no room for more; Room tells when it has.
var ErrFull = errors.New("the queue on disk is full")

// Position is a place between two records.
type Position struct {
	Segment uint64 // number of the first record of the segment
	Offset  int64  // in the segment's file; -1 where it is not known
	Record  uint64 // number of the record that begins here
}

// Queue is a queue on disk. Append may be called by many goroutines.
type Queue struct {
	cfg     Config
	salt    uint32
	readers []*Reader // those of Config.Readers, and then those that are absent

	appending sync.Mutex // held while records are written; taken before mu
	out       []byte     // records being appended
	looked    time.Time  // when the files were last looked for
	watching  bool       // lookIdle is to come
	lookLog   limitlog.Limit

	mu       sync.Mutex    // never held while the disk is used
	room     chan struct{} // closed and replaced when Commit made room
	segments []*segment    // oldest first, never empty; the last is the newest
	total    int64         // bytes of all
	next     uint64        // number of the next record
	unsynced []uint64      // segments with undelivered records that are not forced to the disk
	timer    *time.Timer
	closed   bool
	dirty    []*Reader // whose place is to be saved by unlock
	doomed   []uint64  // segments that are to be removed by unlock
	ended    []segment // whose files are to be closed by unlock, to which nothing is appended any more
	spares   spares
}

// Open opens the queue, and repairs what a crash left: a torn end of the newest segment is cut off.
func Open(cfg Config) (*Queue, error) {
	if cfg.Limit < MinLimit {
		return nil, fmt.Errorf("%d bytes are too few; use at least %d", cfg.Limit, MinLimit)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w; make the directory writable for this user", err)
	}
	if len(cfg.Readers) == 0 {
		cfg.Readers = []string{""}
	}
	q := &Queue{cfg: cfg, room: make(chan struct{}), salt: rand.Uint32()}
	if err := q.open(); err != nil {
		q.closeFiles()
		if errors.Is(err, ErrNewer) {
			return nil, err
		}
		return nil, fmt.Errorf("%w; make %s writable for this user, or move it away and lose what it holds", err, cfg.Dir)
	}
	for _, r := range q.readers {
		if q.next > r.read.Record {
			r.more <- struct{}{}
		}
	}
	q.appending.Lock()
	defer q.appending.Unlock()
	q.lookLater()
	return q, nil
}

// Reader is the reader of a place in Config.Readers.
func (q *Queue) Reader(i int) *Reader { return q.readers[i] }

// Salt is what records are stamped with.
func (q *Queue) Salt() uint32 { return q.salt }

func (q *Queue) open() error {
	entries, err := os.ReadDir(q.cfg.Dir)
	if err != nil {
		return err
	}
	var places []string // the files of readers
	for _, e := range entries {
		if e.Name() == placeName || strings.HasPrefix(e.Name(), placeName+"-") {
			places = append(places, e.Name())
		}
		if e.Name() == spareName {
			q.spares.ready = q.cfg.Reuse
		}
		first, err := strconv.ParseUint(e.Name(), 16, 64)
		if err != nil || len(e.Name()) != 16 || first == 0 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		q.segments = append(q.segments, &segment{first: first, size: info.Size(), last: info.ModTime()})
	}
	slices.SortFunc(q.segments, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	known, err := q.openReaders(places)
	if err != nil {
		return err
	}
	if err := q.inspect(); err != nil {
		return err
	}
	for _, g := range q.segments {
		g.begin = q.total
		q.total += g.size
	}
	q.next = max(q.cfg.First, 1)
	if len(q.segments) > 0 {
		q.next = q.newest().first
		if err := q.mendNewest(); err != nil {
			return err
		}
	}
	for _, r := range q.readers { // some of what they are done with may never have got to the disk
		if p, ok := r.cursor.position(); ok && r.cursor.salt == q.salt {
			q.next = max(q.next, p.Record)
		}
	}
	if len(q.segments) == 0 || q.newest().old || q.next > q.newest().next {
		if n := len(q.segments); n > 0 {
			old := q.newest()
			old.file.Close()
			old.file = nil
			if old.first == q.next { // it has no records, and the name of the one to come
				q.total -= old.size
				q.segments = q.segments[:n-1]
			}
		}
		g, err := q.create(q.next)
		if err != nil {
			return err
		}
		q.add(g)
	}
	for _, r := range q.readers {
		r.begin(known)
	}
	q.mu.Lock()
	q.dropDelivered()
	q.unlock()
	return nil
}

// inspect finds out the version of each segment, and the salt.
func (q *Queue) inspect() error {
	salted := false
	for _, g := range q.segments {
		f, err := os.Open(q.path(g.first))
		if err != nil {
			return err
		}
		salt, ok, err := g.inspect(f)
		if err == nil && !ok && !g.old && !salted {
			if salt, guessed := g.guess(f); guessed {
				q.salt = salt
			}
		}
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", q.path(g.first), err)
		}
		if ok {
			q.salt, salted = salt, true
		}
	}
	for _, r := range q.readers {
		if !salted && r.cursor.salt != 0 { // the cursors have it, too, should the headers be damaged
			q.salt = r.cursor.salt
		}
	}
	return nil
}

// mendNewest opens the newest segment and cuts off what is no whole record.
func (q *Queue) mendNewest() error {
	newest := q.newest()
	f, err := os.OpenFile(q.path(newest.first), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	newest.file = f
	next, good, err := newest.count(f, q.salt, q.cfg.Visit)
	if err != nil {
		return err
	}
	q.next, newest.next = next, next
	if good < newest.size {
		if !q.cfg.Reuse { // else it is what the file had before
			q.cfg.Log.Warn("the end of a queue on disk was torn, as by a crash, and is cut off", "file", newest.file.Name(), "bytes", newest.size-good)
		}
		if err := f.Truncate(good); err != nil {
			return err
		}
	}
	if good <= newest.start() && !newest.old { // the header may not be whole
		if _, err := f.WriteAt(newest.header(q.salt), 0); err != nil {
			return err
		}
		good = newest.start()
	}
	q.total += good - newest.size
	newest.size = good
	return nil
}

func (q *Queue) path(first uint64) string {
	return filepath.Join(q.cfg.Dir, fmt.Sprintf("%016x", first))
}

// create makes the file of a new segment.
func (q *Queue) create(first uint64) (*segment, error) {
	g := &segment{first: first, next: first, size: segmentHead}
	flags := os.O_RDWR | os.O_CREATE
	if !q.takeSpare(first) {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(q.path(first), flags, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(g.header(q.salt), 0); err != nil {
		f.Close()
		os.Remove(q.path(first))
		return nil, err
	}
	g.file = f
	return g, nil
}

// add puts a new segment behind the others. The lock is held.
func (q *Queue) add(g *segment) {
	if len(q.segments) > 0 {
		g.begin = q.newest().begin + q.newest().size
	}
	q.segments = append(q.segments, g)
	q.total += g.size
}

// segmentSize is from where on a segment is followed by another. Files that are used again are small enough to stay in the system's cache.
func (q *Queue) segmentSize() int64 {
	size := max(q.cfg.Limit/16, 64<<10)
	if q.cfg.Reuse {
		size = min(size, 8<<20)
	}
	return size
}

// writeSize is about how much is written at once.
const writeSize = 256 << 10

// Append puts n records behind all others, of which add appends the text of the one with an index from 0 on; it says how
// many it has put. Where it is not all of them the error is ErrFull, or the system's.
func (q *Queue) Append(n int, add func(b []byte, i int) []byte) (done int, err error) {
	q.appending.Lock()
	defer q.appending.Unlock()
	if q.isClosed() {
		return 0, os.ErrClosed
	}
	for done < n {
		some := 0
		q.out = q.out[:0]
		first := q.next // nobody else changes it
		for done+some < n && len(q.out) < writeSize {
			start := len(q.out)
			q.out = Seal(add(append(q.out, make([]byte, Head)...), done+some), start)
			Stamp(q.out[start:], first+uint64(some), q.salt)
			some++
		}
		if err := q.write(q.out, first, some); err != nil {
			return done, err
		}
		done += some
	}
	return done, nil
}

// Write puts n records behind all others that are sealed and stamped already. Their numbers may begin above that of the last one.
func (q *Queue) Write(records []byte, n int) error {
	q.appending.Lock()
	defer q.appending.Unlock()
	return q.write(records, Number(records), n)
}

// write appends some records, in one write. Appending is held.
func (q *Queue) write(records []byte, first uint64, n int) error {
	if q.isClosed() {
		return os.ErrClosed
	}
	if err := q.look(); err != nil {
		return err
	}
	size := int64(len(records))
	newest, err := q.makeRoom(first, size)
	if err != nil {
		return err
	}
	fresh := newest.size >= q.segmentSize() || newest.next != first
	if fresh {
		if newest, err = q.create(first); err != nil {
			return err
		}
	}
	at := newest.size
	if _, err := newest.file.WriteAt(records, at); err != nil {
		newest.file.Truncate(at)
		if fresh {
			newest.file.Close()
			os.Remove(q.path(first))
		}
		return err
	}
	defer q.lookLater()
	q.mu.Lock()
	defer q.unlock()
	if fresh {
		q.replaceNewest(newest)
	}
	newest.note(first, at)
	newest.size += size
	newest.last = time.Now()
	newest.next = first + uint64(n)
	q.total += size
	q.next = newest.next
	q.syncLater(newest.first)
	q.dropBehind()
	for _, r := range q.readers {
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
	return nil
}

// replaceNewest goes on with another segment. The lock is held.
func (q *Queue) replaceNewest(g *segment) {
	if old := q.newest(); old.file != nil {
		q.ended = append(q.ended, *old)
		old.file = nil
	}
	q.add(g)
	q.dropDelivered()
}

func (q *Queue) newest() *segment { return q.segments[len(q.segments)-1] }

// index is the place of the segment in which a record is, or would be. The lock is held.
func (q *Queue) index(number uint64) int {
	i, found := slices.BinarySearchFunc(q.segments, number, func(g *segment, n uint64) int { return cmp.Compare(g.first, n) })
	if !found {
		i--
	}
	return i
}

// find is the segment whose first record has a number. The lock is held.
func (q *Queue) find(first uint64) *segment {
	if i := q.index(first); i >= 0 && q.segments[i].first == first {
		return q.segments[i]
	}
	return nil
}

// unlock frees the lock, and then does on the disk what is to be done.
func (q *Queue) unlock() {
	dirty, doomed, ended := q.dirty, q.doomed, q.ended
	q.dirty, q.doomed, q.ended = nil, nil, nil
	q.mu.Unlock()
	for _, g := range ended {
		if q.cfg.Reuse {
			g.file.Truncate(g.size) // of what the file had before
		}
		g.file.Close()
	}
	for _, r := range dirty {
		r.save()
	}
	for _, first := range doomed {
		if q.keepSpare(first) {
			continue
		}
		if err := os.Remove(q.path(first)); err != nil && !errors.Is(err, os.ErrNotExist) {
			q.cfg.Log.Warn("a segment of a queue on disk is not removed", "err", err)
		}
	}
}

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// Close saves what is to be saved.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	pending := q.timer != nil && q.timer.Stop() && len(q.unsynced) > 0
	q.mu.Unlock()
	if pending {
		q.sync()
	}
	return q.closeFiles()
}

func (q *Queue) closeFiles() error {
	q.appending.Lock()
	defer q.appending.Unlock()
	var err error
	for _, r := range q.readers {
		err = errors.Join(err, r.close())
	}
	for _, g := range q.segments {
		if g.file != nil {
			if q.cfg.Reuse {
				g.file.Truncate(g.size)
			}
			err = errors.Join(err, g.file.Close())
		}
	}
	return err
}
