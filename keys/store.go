package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pollEvery   = 500 * time.Millisecond // a change is in force after two polls, within 2 s
	faultsShown = 20                     // log lines about the faults of one version of a file
)

// Store is the set of keys in force. It is swapped whole, so that whoever has loaded it works with one set.
type Store struct {
	path string
	log  *slog.Logger
	set  atomic.Pointer[Set]
	kick chan struct{}

	mu   sync.Mutex
	seen [2]stamp // the versions of the file and of its notes that were read last; none if they could not be read
	told string   // the trouble with the file that was logged last
}

// stamp tells versions of a file apart.
type stamp struct {
	exists bool
	mode   fs.FileMode // a chmod can end what kept the file from being read
	mtime  time.Time
	size   int64
	info   fs.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.exists == o.exists && s.mode == o.mode && s.mtime.Equal(o.mtime) && s.size == o.size &&
		(!s.exists || s.info == nil || o.info == nil || os.SameFile(s.info, o.info))
}

// OpenStore reads the keys file at path, which may be missing or empty. Faults in it are logged, its good lines
// taken; that it cannot be read is an error.
func OpenStore(path string, log *slog.Logger) (*Store, error) {
	s := &Store{path: path, log: log, kick: make(chan struct{}, 1)}
	s.set.Store(&Set{})
	if _, err := s.Reload(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s, nil
}

// Load is the set in force; never nil.
func (s *Store) Load() *Set { return s.set.Load() }

// Kick has Watch read the file at once.
func (s *Store) Kick() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Reload reads the file. A file that is missing, cannot be read, or has faults and not one good line leaves the old set in
// force and is an error. An ID whose line is faulty keeps the key that it had.
func (s *Store) Reload() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stat()
	if now[0].mode&fs.ModeNamedPipe != 0 { // to open it would wait for a writer, and keep the process from ending
		s.seen = [2]stamp{}
		return false, fmt.Errorf("keys: %s is a pipe, and keys are read again and again; put a file there", s.path)
	}
	// The notes are written after the keys, so they are read first: an agent's new key is never missed.
	notes, notesErr := LoadNotes(s.path)
	set, faults, err := Load(s.path)
	s.seen = now
	if err != nil {
		if !errors.Is(err, errNoKeysFile) {
			s.seen = [2]stamp{} // it may be readable again without a change that shows
		}
		return false, err
	}
	s.logFaults(faults)
	if len(set.Keys) == 0 && len(set.Removed) == 0 && len(faults) > 0 {
		return false, fmt.Errorf("keys: %s has faults and not one good line; the keys read before stay in use", s.path)
	}
	old := s.set.Load()
	set.keep(old, faults)
	if notesErr == nil {
		set.takeNext(notes)
	} else {
		s.log.Error("the notes on the keys cannot be read; the ones read before stay in use", "err", notesErr, "remedy", "correct the line, or restore the file")
		set.next = old.next
	}
	if set.equal(old) {
		return false, nil
	}
	s.set.Store(set)
	return true, nil
}

// keep gives IDs with a faulty line the key that they have in old. One that was removed stays so, and one whose single
// address belongs to another agent now is not kept.
func (s *Set) keep(old *Set, faults []Fault) {
	var lost []Key
	for _, f := range faults {
		if k, had := old.ByID(f.ID); had && !f.Kept {
			lost = append(lost, k)
		}
	}
	if len(lost) == 0 {
		return
	}
	removed := make(map[string]bool, len(s.Removed))
	for _, id := range s.Removed {
		removed[id] = true
	}
	taken := make(map[netip.Addr]bool)
	for _, k := range s.Keys {
		if ip, single := k.Address.Single(); single {
			taken[ip] = true
		}
	}
	for _, k := range lost {
		ip, single := k.Address.Single()
		if _, has := s.byID[k.ID]; has || removed[k.ID] || single && taken[ip] {
			continue
		}
		s.add(k)
	}
}

func (s *Set) equal(o *Set) bool {
	return slices.Equal(s.Keys, o.Keys) && slices.Equal(s.Removed, o.Removed) && maps.Equal(s.next, o.next)
}

func (s *Store) logFaults(faults []Fault) {
	for i, f := range faults {
		if i == faultsShown {
			s.log.Error("more faults in the keys file", "count", len(faults)-i, "remedy", "run ossecd manager --check to see all")
			return
		}
		s.log.Error("fault in the keys file", "fault", f.Error(), "line_used", f.Kept)
	}
}

// stat is of the file and its notes.
func (s *Store) stat() [2]stamp { return [2]stamp{stampOf(s.path), stampOf(NotesPath(s.path))} }

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{true, info.Mode(), info.ModTime(), info.Size(), info}
}

// same says that neither of the two files changed.
func same(a, b [2]stamp) bool { return a[0].same(b[0]) && a[1].same(b[1]) }

// Watch takes up changes of the file until ctx ends, and calls changed with each new set. A file is read once it
// held still for a poll, since stock tools rewrite it in place; after a Kick at once.
func (s *Store) Watch(ctx context.Context, changed func(*Set)) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last [2]stamp // of the poll before
	for {
		kicked := false
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			kicked = true
		case <-tick.C:
		}
		now := s.stat()
		still := same(now, last)
		last = now
		s.mu.Lock()
		known := same(now, s.seen) && now[0].exists
		s.mu.Unlock()
		if !kicked && (known || !still) {
			continue
		}
		s.TakeUp(changed)
	}
}

// TakeUp reads the file at once, and calls changed if it has a new set. Trouble with the file is logged when it begins and
// when it ends.
func (s *Store) TakeUp(changed func(*Set)) {
	isNew, err := s.Reload()
	now := ""
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && len(s.Load().Keys) == 0) { // none is needed at the start
		now = err.Error()
	}
	s.mu.Lock()
	before := s.told
	s.told = now
	s.mu.Unlock()
	switch {
	case now != "" && now != before:
		s.log.Error("the keys file cannot be used; the keys read before stay in use", "err", err, "remedy", "put it back, make it readable, or correct it")
	case err == nil && before != "":
		s.log.Info("the keys file can be used again", "keys", s.path)
	}
	if isNew {
		changed(s.Load())
	}
}
