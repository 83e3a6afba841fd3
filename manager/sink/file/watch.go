package file

import (
	"context"
	"time"
)

// idleLookEvery is how often the name of a file is looked at into which nothing is written.
const idleLookEvery = time.Second

// watch looks now and then whether the file still has its name while no events come, so that what reads the file by its name
// finds one, and whoever renamed it is told.
type watch struct {
	stop context.CancelFunc
	done chan struct{}
}

func startWatch(f *File) *watch {
	ctx, stop := context.WithCancel(context.Background())
	w := &watch{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(idleLookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f.lookIdle()
			}
		}
	}()
	return w
}

func (w *watch) close() {
	w.stop()
	<-w.done
}

// lookIdle follows the file to its name if no event has made Write do so.
func (f *File) lookIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.looked).Abs() < idleLookEvery/2 {
		return
	}
	if err := f.follow(now); err != nil {
		f.limited.Error("the events file has no name any more", "events", f.o.Path, "err", err,
			"remedy", "let this user create files in the directory, or make it again")
	}
}
