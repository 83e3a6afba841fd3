// Package queue is a queue on disk: bounded, in order, and whole after a kill. What its records say is up to who puts them in.
//
//	DIR/
//	    cursor               how far all was delivered; cursor-NAME for each of several readers
//	    0000000000000001     segments: records, each segment named for the number of its first
//	    000000000003a2f7
//
// Records are numbered from 1 on. Appending writes them to the newest segment. Each Reader reads them all: it goes on from where
// it stood, and Rewind takes it back to what was delivered last, so that what was on the way when a receiver vanished is sent again.
// Commit says that all before a position was delivered: segments below those of all readers are removed.
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
	"strings"
	"sync"
	"time"
)

// Config says where the queue is and how much it holds.
type Config struct {
	Dir   string // made where it is missing
	Limit int64  // bytes on disk; at least MinLimit
	// DropOldest has the oldest records make room where the queue is full. Otherwise Append returns ErrFull.
	DropOldest bool
	// Sync is how old undelivered records get at most before they are forced to the disk; 0 never forces them.
	Sync time.Duration
	// Readers names the readers, in letters, digits and -; their places are kept under these names. Default: one without a
	// name. One that was not there before begins where the slowest of those before stood.
	Readers []string
	Log     *slog.Logger
}

// MinLimit is the least that a queue can hold.
const MinLimit = 1 << 20

// ErrFull says that the queue has no room for more; Room tells when it has.
var ErrFull = errors.New("the queue on disk is full")

// Position is a place between two records.
type Position struct {
	Segment uint64 // number of the first record of the segment
	Offset  int64  // in the segment's file
	Record  uint64 // number of the record that begins here
}

// segment is one file.
type segment struct {
	first uint64 // number of its first record
	size  int64
	file  *os.File // of the newest, else nil
}

// Queue is a queue on disk. Append may be called by many goroutines.
type Queue struct {
	cfg     Config
	room    chan struct{} // closed and replaced when Commit made room
	readers []*Reader

	mu       sync.Mutex
	segments []*segment // oldest first, never empty; the last is the newest
	total    int64      // bytes of all
	next     uint64     // number of the next record
	unsynced []uint64   // segments with undelivered records that are not forced to the disk
	timer    *time.Timer
	closed   bool
	looked   time.Time // when the files were last looked for
	out      []byte    // records being appended
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
	q := &Queue{cfg: cfg, room: make(chan struct{})}
	if err := q.open(); err != nil {
		q.closeFiles()
		return nil, fmt.Errorf("%w; make %s writable for this user, or move it away and lose what it holds", err, cfg.Dir)
	}
	for _, r := range q.readers {
		if q.next > r.read.Record {
			r.more <- struct{}{}
		}
	}
	return q, nil
}

// Reader is the reader of a place in Config.Readers.
func (q *Queue) Reader(i int) *Reader { return q.readers[i] }

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
	known, err := q.openReaders(places)
	if err != nil {
		return err
	}
	if len(q.segments) == 0 {
		q.next = max(known.Record, 1)
		if err := q.begin(); err != nil {
			return err
		}
	} else if err := q.mendNewest(); err != nil {
		return err
	}
	for _, r := range q.readers {
		r.begin(known)
	}
	q.dropDelivered()
	return q.dropPlaces(places)
}

// mendNewest opens the newest segment and cuts off what is no whole record.
func (q *Queue) mendNewest() error {
	newest := q.newest()
	if err := q.openNewest(newest); err != nil {
		return err
	}
	records, good, err := scan(newest.file, newest.size)
	if err != nil {
		return err
	}
	q.next = newest.first + records
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

func (q *Queue) openNewest(g *segment) (err error) {
	g.file, err = os.OpenFile(q.path(g.first), os.O_RDWR|os.O_CREATE, 0o600)
	return err
}

// begin makes a new segment.
func (q *Queue) begin() error {
	g := &segment{first: q.next}
	if err := q.openNewest(g); err != nil {
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
	if err := q.look(); err != nil {
		return 0, err
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
		newest.file.Close()
		newest.file = nil
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
	for _, r := range q.readers {
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
	return nil
}

func (q *Queue) newest() *segment { return q.segments[len(q.segments)-1] }

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
	var err error
	for _, r := range q.readers {
		err = errors.Join(err, r.close())
	}
	for _, g := range q.segments {
		if g.file != nil {
			err = errors.Join(err, g.file.Close())
		}
	}
	return err
}
