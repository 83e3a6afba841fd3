package journal

import (
	"sync"
	"time"
)

// keeper keeps the place of a reader on disk, in a goroutine of its own: so the reader can go on though the disk blocks.
type keeper struct {
	commit func(number uint64) // may block
	due    chan struct{}       // has a token where there is work
	kept   chan struct{}       // has a token when it is done
	late   *time.Timer
	ends   <-chan struct{} // closed where nothing is kept any more

	mu         sync.Mutex
	want, done uint64
	busy       bool
}

func newKeeper(commit func(number uint64), ends <-chan struct{}) *keeper {
	k := &keeper{commit: commit, ends: ends, due: make(chan struct{}, 1), kept: make(chan struct{}, 1), late: time.NewTimer(time.Hour)}
	k.late.Stop()
	return k
}

// keep keeps a place. It returns when that is done, or if it takes long; then it is done, or what was given later, as soon as it can be.
func (k *keeper) keep(number uint64) {
	k.mu.Lock()
	k.want = number
	busy := k.busy
	k.busy = true
	k.mu.Unlock()
	if busy {
		return
	}
	select { // of one that was late
	case <-k.kept:
	default:
	}
	nudge(k.due)
	k.late.Reset(lateAfter)
	select {
	case <-k.kept:
		k.late.Stop()
	case <-k.late.C:
	case <-k.ends:
	}
}

func (k *keeper) run() {
	for {
		select {
		case <-k.due:
		case <-k.ends:
			return
		}
		for more := true; more; {
			k.mu.Lock()
			number := k.want
			more = number != k.done
			k.busy = more
			k.mu.Unlock()
			if more {
				k.commit(number)
				k.done = number
			}
		}
		nudge(k.kept)
	}
}
