package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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
	seen stamp  // the version of the file that the set is of
	told string // the trouble with the file that was logged last
}

// stamp tells versions of a file apart.
type stamp struct {
	exists bool
	mtime  time.Time
	size   int64
	info   fs.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.exists == o.exists && s.mtime.Equal(o.mtime) && s.size == o.size &&
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
	s.seen = s.stat()
	set, faults, err := Load(s.path)
	if err != nil {
		return false, err
	}
	s.logFaults(faults)
	if len(set.Keys) == 0 && len(set.Removed) == 0 && len(faults) > 0 {
		return false, fmt.Errorf("keys: %s has faults and not one good line; the keys read before stay in force", s.path)
	}
	old := s.set.Load()
	set.keep(old, faults)
	if set.equal(old) {
		return false, nil
	}
	s.set.Store(set)
	return true, nil
}

// keep gives IDs with a faulty line the key that they have in old.
func (s *Set) keep(old *Set, faults []Fault) {
	for _, f := range faults {
		if f.ID == "" || f.Kept {
			continue
		}
		if _, has := s.byID[f.ID]; has {
			continue
		}
		if k, had := old.ByID(f.ID); had {
			s.byID[k.ID] = len(s.Keys)
			s.Keys = append(s.Keys, k)
		}
	}
}

func (s *Set) equal(o *Set) bool {
	if len(s.Keys) != len(o.Keys) {
		return false
	}
	for i := range s.Keys {
		if s.Keys[i] != o.Keys[i] {
			return false
		}
	}
	return true
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

func (s *Store) stat() stamp {
	info, err := os.Stat(s.path)
	if err != nil {
		return stamp{}
	}
	return stamp{true, info.ModTime(), info.Size(), info}
}

// Watch takes up changes of the file until ctx ends, and calls changed with each new set. A file is read once it
// held still for a poll, since stock tools rewrite it in place; after a Kick at once.
func (s *Store) Watch(ctx context.Context, changed func(*Set)) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last stamp // of the poll before
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
		still := now.same(last)
		last = now
		s.mu.Lock()
		known := now.same(s.seen) && now.exists
		s.mu.Unlock()
		if !kicked && (known || !still) {
			continue
		}
		s.reloadAndTell(changed)
	}
}

// reloadAndTell logs trouble with the file when it begins and when it ends.
func (s *Store) reloadAndTell(changed func(*Set)) {
	isNew, err := s.Reload()
	s.mu.Lock()
	before := s.told
	s.told = ""
	if err != nil {
		s.told = err.Error()
	}
	empty := len(s.Load().Keys) == 0
	now := s.told
	s.mu.Unlock()
	switch {
	case err != nil && now != before && !(empty && errors.Is(err, fs.ErrNotExist)):
		s.log.Error("the keys file cannot be read; the keys read before stay in force", "err", err, "remedy", "put it back, or make it readable")
	case err == nil && before != "" && !(empty && !isNew):
		s.log.Info("the keys file can be read again", "keys", s.path)
	}
	if isNew {
		changed(s.Load())
	}
}
