package spool

import (
	"errors"
	"os"
	"slices"
	"time"
)

// syncLater has a segment forced to the disk in time.
func (s *Spool) syncLater(first uint64) {
	if s.cfg.Sync <= 0 || slices.Contains(s.unsynced, first) {
		return
	}
	s.unsynced = append(s.unsynced, first)
	switch {
	case s.timer == nil:
		s.timer = time.AfterFunc(s.cfg.Sync, s.sync)
	case len(s.unsynced) == 1:
		s.timer.Reset(s.cfg.Sync)
	}
}

// sync forces to the disk what is to be. The lock is free meanwhile: it takes its time.
func (s *Spool) sync() {
	s.mu.Lock()
	todo := slices.Clone(s.unsynced)
	s.unsynced = s.unsynced[:0]
	s.mu.Unlock()
	for _, first := range todo {
		f, err := os.OpenFile(s.path(first), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			s.cfg.Log.Warn("the spool is not forced to the disk; a power cut would take what was not delivered", "err", err)
		}
	}
}
