package keys

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// ErrExhausted says that the sending counter has no count left.
var ErrExhausted = errors.New("the sending counter is used up")

// aheadAt is the local count at which the next global is saved in the background: half of one is left then.
const aheadAt = lastLocal / 2

// Sender is the own sending counter, for the messages of one agent, or for those of a manager to all its agents.
// It never gives out a count twice, nor a lower one after a higher, whenever the process ends: a global is on
// disk before its first count is given out (docs/protocol.md, "Receiving").
//
// The file is the stock one, DIR/sender_counter. While the process runs it says G:9997:, which grants all counts
// of G and makes a stock program that takes over after a crash go on at G+1; Close writes the exact count. Each
// start takes the global max(saved + 1, Unix time in seconds), so that one whose file was lost or restored from a
// backup counts on above what it used, if its clock is right and it sent fewer than 9,997 messages a second on
// average. Before 1970 and from 2^31 on the clock is not asked.
//
// All methods may be called by any goroutine.
type Sender struct {
	dir string

	mu     sync.Mutex    // held for moments
	last   proto.Counter // given out last; its global is saved
	saved  uint32        // every count of this global and below may be given out
	closed bool

	saving  sync.Mutex // held during a save; taken before mu
	rebased int64      // Unix time of the last Rebase that was done
	failure error      // of the last save, nil if it went well
	tried   int64      // Unix time of the last save

	ahead    sync.WaitGroup // the saves in the background
	granting bool           // one of TryNext is under way; guarded by mu
	failed   error          // of the last of these, nil if it went well; likewise
	rebasing bool           // one of RebaseSoon is; likewise
	rebaseAt int64          // Unix time of the last of these; likewise
}

// ErrNotSaved says that a count cannot be given out before the disk has taken the next global.
var ErrNotSaved = errors.New("the disk has not taken the sending counter yet")

// OpenSender opens the sending counter of the directory (STATE/rids), which it makes where it is missing, and
// bases it on the clock. The caller holds the lock of the state directory.
func OpenSender(dir string) (*Sender, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("sending counter: %w; make the directory writable for this user", err)
	}
	stored, _, err := readRidsFile(dir, senderFile)
	if errors.Is(err, errRids) {
		err = fmt.Errorf("%w: restore it from a backup, or delete it if the clock of this host is right", err)
	}
	if err != nil {
		return nil, err
	}
	s := &Sender{dir: dir, last: proto.Counter{Global: stored.Global, Local: lastLocal}, saved: stored.Global, rebased: math.MinInt64, tried: math.MinInt64}
	if err := s.Rebase(); err != nil {
		return nil, err
	}
	return s, nil
}

// Next gives the count of the next message. It writes no file unless the save ahead of time failed or is not done
// yet. Its error is one of saving, tried again once a second, ErrExhausted, or os.ErrClosed.
func (s *Sender) Next() (proto.Counter, error) {
	for {
		s.mu.Lock()
		next := s.last.Next()
		switch {
		case s.closed:
			s.mu.Unlock()
			return proto.Counter{}, os.ErrClosed
		case next.Global < s.last.Global:
			s.mu.Unlock()
			return proto.Counter{}, s.exhausted()
		case next.Global <= s.saved:
			s.last = next
			if next.Local == aheadAt && next.Global == s.saved && next.Global < math.MaxUint32 {
				s.ahead.Go(func() { s.grant(next.Global + 1) }) // where it fails, Next itself will try
			}
			s.mu.Unlock()
			return next, nil
		}
		s.mu.Unlock()
		if err := s.grant(next.Global); err != nil {
			return proto.Counter{}, err
		}
	}
}

// TryNext is Next for callers that must not wait for a disk. Where Next would, it fails with ErrNotSaved (or with the error
// of the last save), and the save goes on in the background.
func (s *Sender) TryNext() (proto.Counter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.last.Next()
	switch {
	case s.closed:
		return proto.Counter{}, os.ErrClosed
	case next.Global < s.last.Global:
		return proto.Counter{}, s.exhausted()
	case next.Global <= s.saved:
		s.last = next
		if next.Local == aheadAt && next.Global == s.saved && next.Global < math.MaxUint32 {
			s.grantSoon(next.Global + 1)
		}
		return next, nil
	}
	s.grantSoon(next.Global)
	if s.failed != nil {
		return proto.Counter{}, s.failed
	}
	return proto.Counter{}, ErrNotSaved
}

// grantSoon saves global in the background, one at a time. s.mu is held.
func (s *Sender) grantSoon(global uint32) {
	if s.granting {
		return
	}
	s.granting = true
	s.ahead.Go(func() {
		err := s.grant(global)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.granting, s.failed = false, err
	})
}

// RebaseSoon does what Rebase does, in the background, for callers that must not wait for a disk. It does nothing while an
// earlier one is under way or was begun within this second of the clock. failed is told of an error.
func (s *Sender) RebaseSoon(failed func(error)) {
	now := time.Now().Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.rebasing || s.rebaseAt == now {
		return
	}
	s.rebasing, s.rebaseAt = true, now
	s.ahead.Go(func() {
		err := s.Rebase()
		s.mu.Lock()
		s.rebasing = false
		s.mu.Unlock()
		if err != nil && !errors.Is(err, os.ErrClosed) {
			failed(err)
		}
	})
}

// Rebase lifts the global to max(last + 1, Unix time). An agent calls it for each startup message that it sends, a
// manager calls RebaseSoon for each that it receives; within one second of the clock only the first call does anything. After an
// error counting goes on as before.
func (s *Sender) Rebase() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	now := time.Now().Unix()
	if now == s.rebased {
		return nil
	}
	s.mu.Lock()
	last, saved, closed := s.last, s.saved, s.closed
	s.mu.Unlock()
	if closed {
		return os.ErrClosed
	}
	if last.Global == math.MaxUint32 {
		return s.exhausted()
	}
	global := rebased(last.Global, now)
	if global > saved {
		if err := s.save(global); err != nil {
			return err
		}
	}
	s.rebased = now
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Global < global { // it can have rolled over meanwhile
		s.last = proto.Counter{Global: global}
	}
	return nil
}

// rebased is the global that follows last at the Unix time now. last is below 2^32-1.
func rebased(last uint32, now int64) uint32 {
	if now < 1 || now > math.MaxInt32 {
		return last + 1
	}
	return max(last+1, uint32(now))
}

// Close saves the exact count for whoever takes the directory next, and gives out no more. Where the file says more than we ever granted,
// somebody has it already, as a stock daemon that was started beside us, and reads what we would write: that is left.
func (s *Sender) Close() error {
	s.mu.Lock()
	closed, last := s.closed, s.last
	s.closed = true
	s.mu.Unlock()
	s.ahead.Wait()
	s.saving.Lock()
	defer s.saving.Unlock()
	if closed {
		return nil
	}
	stored, ok, err := readRidsFile(s.dir, senderFile)
	if granted := (proto.Counter{Global: s.saved, Local: lastLocal}); ok && err == nil && stored.Value() > granted.Value() {
		return nil
	}
	return s.write(last)
}

// grant saves global unless it is saved already.
func (s *Sender) grant(global uint32) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	saved, closed := s.saved, s.closed
	s.mu.Unlock()
	if closed || global <= saved {
		return nil
	}
	return s.save(global)
}

// save grants global, at most one try a second once it fails. The caller holds saving.
func (s *Sender) save(global uint32) error {
	now := time.Now().Unix()
	if s.failure != nil && now == s.tried {
		return s.failure
	}
	s.tried = now
	s.failure = s.write(proto.Counter{Global: global, Local: lastLocal})
	if s.failure != nil {
		return s.failure
	}
	s.mu.Lock()
	s.saved = global
	s.mu.Unlock()
	return nil
}

func (s *Sender) write(c proto.Counter) error {
	path := filepath.Join(s.dir, senderFile)
	_, missing := os.Lstat(path)
	err := os.MkdirAll(s.dir, 0o750) // it may have been taken away under us
	if err == nil {
		err = durable.ReplaceFile(path, AppendRids(nil, c), 0o640)
	}
	if err == nil && missing != nil {
		err = durable.Give(s.dir, path)
	}
	if err != nil {
		return fmt.Errorf("%s: save the sending counter: %w; nothing more can be sent until it is saved: free space, or make the directory writable for this user", path, err)
	}
	return nil
}

func (s *Sender) exhausted() error {
	return fmt.Errorf("%w: give every peer a new key, then delete %s", ErrExhausted, filepath.Join(s.dir, senderFile))
}
