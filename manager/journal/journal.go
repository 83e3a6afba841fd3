package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ossecd/keys/durable/queue"
)

// Config says where the journal is and how much it holds.
type Config struct {
	Dir   string
	Limit int64         // bytes on disk
	Keep  time.Duration // how long records stay at least that all readers are done with, as long as there is room
	Sync  time.Duration // how old records get at most before they are forced to the disk, if a reader is not done with them

	Memory  int // bytes that may wait for the disk
	Share   int // how much of that, and of what a reader must not lose, one account may have, in percent
	Readers []ReaderConfig

	Visit func(record []byte) // is called by Open with each of the records written last; may be nil
	Log   *slog.Logger
}

// MinLimit is the least that a journal can hold.
const MinLimit = queue.MinLimit

const (
	// lateAfter is how long a write may take before readers are given what is not written.
	lateAfter = time.Second

	// again is when a write is tried again that failed.
	again = time.Second

	logEvery = time.Minute
)

// Journal is a journal. Its methods may be called by many goroutines.
type Journal struct {
	cfg     Config
	log     *slog.Logger
	disk    *queue.Queue
	append  func(records []byte, n int) error // to the disk
	readers []*Reader
	late    *time.Timer
	nextLog time.Time // of the goroutine that writes

	wake    chan struct{} // has a token where there is something to write
	due     chan struct{} // has a token where a callback may be due
	closing chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows, and what is said to be under it
	tail    tail
	written uint64 // all records below are on disk
	failing bool   // the disk takes nothing, or takes long
	shares  shares
	waiters []waiter
	closed  bool
}

// Open opens the journal. Until Start nothing is written.
func Open(cfg Config) (*Journal, error) {
	j := &Journal{cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1), due: make(chan struct{}, 1), closing: make(chan struct{})}
	q := queue.Config{Dir: cfg.Dir, Limit: cfg.Limit, DropOldest: true, Sync: cfg.Sync, Keep: cfg.Keep, KeepAbsent: true, Reuse: true,
		First: uint64(time.Now().UnixNano()), // there are fewer than one a nanosecond: no two runs give the same number, even if the directory was removed
		Visit: cfg.Visit, Log: cfg.Log, Options: make(map[string]queue.Options)}
	for _, r := range cfg.Readers {
		q.Readers = append(q.Readers, r.Place)
		q.Options[r.Place] = queue.Options{Hold: r.Hold, Limit: r.Limit, Start: r.Start}
	}
	var err error
	if j.disk, err = queue.Open(q); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.append = j.disk.Write
	_, next := j.disk.Bounds()
	j.tail.next, j.tail.salt, j.written = next, j.disk.Salt(), next
	j.shares.open(&cfg)
	for i, c := range cfg.Readers {
		r := &Reader{ReaderConfig: c, j: j, disk: j.disk.Reader(i), wake: make(chan struct{}, 1)}
		r.keep = newKeeper(r.disk.CommitTo, j.closing)
		r.next = r.disk.Committed()
		r.start, r.done = r.next, r.next
		r.lose(r.disk.Lost())
		r.start -= r.counts.Lost
		j.readers = append(j.readers, r)
	}
	j.late = time.AfterFunc(time.Hour, j.isLate)
	j.late.Stop()
	return j, nil
}

// Reader is the reader of a place in Config.Readers.
func (j *Journal) Reader(i int) *Reader { return j.readers[i] }

// Absent are readers that are not in Config.Readers any more, by their places: how many records they have not got.
func (j *Journal) Absent() map[string]uint64 { return j.disk.Absent() }

// Forget gives up an absent reader.
func (j *Journal) Forget(place string) error { return j.disk.Forget(place) }

// Held is what the journal holds: bytes on disk, records, and about when the oldest of these was written (the zero time without any).
func (j *Journal) Held() (bytes int64, records uint64, oldest time.Time) {
	bytes, first, written := j.disk.Held()
	_, next := j.disk.Bounds()
	if records = next - min(first, next); records > 0 {
		oldest = written
	}
	return bytes, records, oldest
}

// Lost is how many records were lost before any reader got them: for being over a share, and since there was no room.
func (j *Journal) Lost() (crowded, full uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.shares.crowded, j.shares.full
}

// Failing says that the disk takes nothing, or takes long.
func (j *Journal) Failing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failing
}

// Start has what is put written, until Close.
func (j *Journal) Start() {
	j.running.Go(j.write)
	j.running.Go(j.answer)
	for _, r := range j.readers {
		j.running.Go(r.keep.run)
	}
}

// write writes what gathers.
func (j *Journal) write() {
	for {
		j.mu.Lock()
		c, part, n := j.tail.unwritten()
		closed := j.closed
		j.mu.Unlock()
		if n == 0 {
			if closed {
				return
			}
			select {
			case <-j.wake:
			case <-j.closing:
			}
			continue
		}
		j.late.Reset(lateAfter)
		room := j.disk.Room()
		err := j.append(part, n)
		j.late.Stop()
		j.wrote(c, len(part), n, err)
		if err == nil {
			continue
		}
		if closed {
			return
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-room:
		case <-j.closing:
		}
		timer.Stop()
	}
}

// wrote notes how the write of n records of a chunk ended.
func (j *Journal) wrote(c *chunk, size, n int, err error) {
	if now := time.Now(); err != nil && !now.Before(j.nextLog) {
		j.nextLog = now.Add(logEvery)
		remedy := "free space on the disk, or repair it"
		if errors.Is(err, queue.ErrFull) {
			remedy = "see why a sink with hold = true takes nothing, or give the journal more room with --journal-size"
		}
		j.log.Error("the journal takes nothing; events wait in memory, and agents are not acknowledged", "err", err, "remedy", remedy)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		j.tail.wrote(c, size, n)
		j.written = max(j.written, c.first+uint64(c.writtenN))
	} else {
		j.tail.writing = nil
	}
	j.failing = err != nil
	for _, r := range j.readers {
		r.skipped()
	}
	j.publish()
}

// isLate is called while a write takes long.
func (j *Journal) isLate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tail.writing == nil || j.failing {
		return
	}
	j.failing = true
	j.log.Error("a write to the journal takes long; events wait in memory, and agents are not acknowledged", "dir", j.cfg.Dir,
		"remedy", "look at the disk or file system")
	j.publish()
}

// publish tells readers and callbacks what they may have now, and gives memory back. mu is held.
func (j *Journal) publish() {
	j.tail.show(j.failing)
	end := j.tail.shown()
	for _, r := range j.readers {
		if r.idle && r.next < end {
			r.idle = false
			r.nudge()
		}
	}
	j.release()
	if len(j.waiters) > 0 && j.waiters[0].at <= j.safe() {
		nudge(j.due)
	}
}

// release drops from memory what is not needed there. mu is held.
func (j *Journal) release() {
	next, done, held := j.tail.next, j.tail.next, j.tail.next
	for _, r := range j.readers {
		next, done = min(next, r.next), min(done, r.done)
		if r.Hold {
			held = min(held, r.done)
		}
	}
	if behind := held < j.tail.oldest(); behind != j.shares.behind {
		j.shares.behind = behind
		if behind {
			j.shares.backlog++
		}
	}
	j.tail.release(next, done, j.failing, func(c *chunk) bool {
		for _, r := range j.readers {
			if r.hand == c {
				return true
			}
		}
		return false
	})
	j.shares.turn(max(j.written, j.tail.oldest()), j.tail.next)
}

// safe is the number below which no record is lost, however the process ends. mu is held.
func (j *Journal) safe() uint64 {
	safe := j.written
	if j.failing {
		done := j.tail.next
		for _, r := range j.readers {
			done = min(done, r.done)
		}
		safe = max(safe, done)
	}
	return safe
}

// Close writes what is left, until deadline is closed at the latest, and closes the files. Readers must have ended, or be stuck. It says how many records
// were neither written nor taken by all readers.
func (j *Journal) Close(deadline <-chan struct{}) (unwritten uint64, err error) {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	close(j.closing)
	ended := make(chan error, 1)
	go func() {
		j.running.Wait()
		ended <- j.disk.Close()
	}()
	select {
	case err = <-ended:
	case <-deadline:
	}
	j.late.Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failing = true // what all readers are done with need not be written
	return j.tail.next - j.safe(), err
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
