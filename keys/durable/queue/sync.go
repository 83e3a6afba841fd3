package queue

import (
	"errors"
	"os"
	"slices"
	"time"
)

// syncLater has a segment forced to the disk in time.
func (q *Queue) syncLater(first uint64) {
	if q.cfg.Sync <= 0 || slices.Contains(q.unsynced, first) {
		return
	}
	q.unsynced = append(q.unsynced, first)
	switch {
	case q.timer == nil:
		q.timer = time.AfterFunc(q.cfg.Sync, q.sync)
	case len(q.unsynced) == 1:
		q.timer.Reset(q.cfg.Sync)
	}
}

// sync forces to the disk what is to be. The lock is free meanwhile: it takes its time.
func (q *Queue) sync() {
	q.mu.Lock()
	todo := slices.Clone(q.unsynced)
	q.unsynced = q.unsynced[:0]
	q.mu.Unlock()
	for _, first := range todo {
		f, err := os.OpenFile(q.path(first), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			q.cfg.Log.Warn("a queue on disk is not forced to the disk; a power cut would take what was not delivered", "err", err)
		}
	}
}
