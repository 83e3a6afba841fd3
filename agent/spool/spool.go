// Package spool is the agent's queue on disk, between its sources and the channel: bounded, in order, and whole after a
// kill.
//
//	STATE/spool/
//	    cursor               how far all was delivered; cursor-NAME for each of several readers
//	    0000000000000001     segments: records of events, each named for the number of its first event
//	    000000000003a2f7
//
// Events are numbered from 1 on. Appending writes them to the newest segment. Each Reader reads them all: it goes on from where
// it stood, and Rewind takes it back to what was delivered last, so that what was on the way when a manager vanished is sent again.
// Commit says that all before a position was delivered: segments below those of all readers are removed.
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
	"strings"
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
	// Readers names the readers, in letters, digits and -; their places are kept under these names. Default: one without a
	// name. One that was not there before begins where the slowest of those before stood.
	Readers []string
	Log     *slog.Logger
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
	file  *os.File // of the newest, else nil
}

// Spool is a queue on disk. Append may be called by many goroutines.
type Spool struct {
	cfg     Config
	room    chan struct{} // closed and replaced when Commit made room
	readers []*Reader

	mu       sync.Mutex
	segments []*segment // oldest first, never empty; the last is the newest
	total    int64      // bytes of all
	next     uint64     // number of the next event
	unsynced []uint64   // segments with undelivered events that are not forced to the disk
	timer    *time.Timer
	closed   bool
	out      []byte // records being appended
}

// Open opens the spool, and repairs what a crash left: a torn end of the newest segment is cut off.
func Open(cfg Config) (*Spool, error) {
	if cfg.Limit < MinLimit {
		return nil, fmt.Errorf("spool: %d bytes are too few; use at least %d", cfg.Limit, MinLimit)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w; make the directory writable for this user", err)
	}
	if len(cfg.Readers) == 0 {
		cfg.Readers = []string{""}
	}
	s := &Spool{cfg: cfg, room: make(chan struct{})}
	if err := s.open(); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("spool: %w; make %s writable for this user, or move it away and lose what it holds", err, cfg.Dir)
	}
	for _, r := range s.readers {
		if s.next > r.read.Event {
			r.more <- struct{}{}
		}
	}
	return s, nil
}

// Reader is the reader of a place in Config.Readers.
func (s *Spool) Reader(i int) *Reader { return s.readers[i] }

func (s *Spool) open() error {
	entries, err := os.ReadDir(s.cfg.Dir)
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
		s.segments = append(s.segments, &segment{first: first, size: info.Size()})
		s.total += info.Size()
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return int(min(max(int64(a.first-b.first), -1), 1)) })
	known, err := s.openReaders(places)
	if err != nil {
		return err
	}
	if len(s.segments) == 0 {
		s.next = max(known.Event, 1)
		if err := s.begin(); err != nil {
			return err
		}
	} else if err := s.mendNewest(); err != nil {
		return err
	}
	for _, r := range s.readers {
		r.begin(known)
	}
	s.dropDelivered()
	return s.dropPlaces(places)
}

// mendNewest opens the newest segment and cuts off what is no whole record.
func (s *Spool) mendNewest() error {
	newest := s.newest()
	if err := s.openNewest(newest); err != nil {
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

func (s *Spool) openNewest(g *segment) (err error) {
	g.file, err = os.OpenFile(s.path(g.first), os.O_RDWR|os.O_CREATE, 0o600)
	return err
}

// begin makes a new segment.
func (s *Spool) begin() error {
	g := &segment{first: s.next}
	if err := s.openNewest(g); err != nil {
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
		newest.file.Close()
		newest.file = nil
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
	for _, r := range s.readers {
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
	return n, nil
}

func (s *Spool) newest() *segment { return s.segments[len(s.segments)-1] }

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
	var err error
	for _, r := range s.readers {
		err = errors.Join(err, r.close())
	}
	for _, g := range s.segments {
		if g.file != nil {
			err = errors.Join(err, g.file.Close())
		}
	}
	return err
}
