package file

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// maxChanges bounds the changed paths remembered; beyond them everything is looked at.
const maxChanges = 1 << 16

// watcher gathers what the system tells about directories, so that its queue never stands.
type watcher struct {
	fs   *fsnotify.Watcher // nil: the system gives none, and polling must do
	wake chan struct{}     // holds one token while there are changes
	done chan struct{}

	mu      sync.Mutex
	changed map[string]fsnotify.Op // by cleaned path
	lost    bool                   // there were more changes than these
	spare   map[string]fsnotify.Op
}

func newWatcher(log *slog.Logger) *watcher {
	w := &watcher{
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		changed: make(map[string]fsnotify.Op),
		spare:   make(map[string]fsnotify.Op),
	}
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err != nil {
		log.Warn("the system does not report changes of files; ossecd looks every second instead: raise fs.inotify.max_user_instances, "+
			"or the limit of open files", "error", err)
		close(w.done)
		return w
	}
	go w.gather()
	return w
}

// add begins to watch a directory. The error is errors.ErrUnsupported where the system gives no events at all.
func (w *watcher) add(dir string) error {
	if w.fs == nil {
		return errors.ErrUnsupported
	}
	return w.fs.Add(dir)
}

func (w *watcher) remove(dir string) {
	if w.fs != nil {
		w.fs.Remove(dir) // fails where the directory is gone, and the watch with it
	}
}

func (w *watcher) gather() {
	defer close(w.done)
	for {
		select {
		case ev, ok := <-w.fs.Events:
			if !ok {
				return
			}
			w.note(ev)
		case _, ok := <-w.fs.Errors: // an overflow, or events that could not be read
			if !ok {
				return
			}
			w.mu.Lock()
			w.lost = true
			w.mu.Unlock()
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) note(ev fsnotify.Event) {
	path := filepath.Clean(ev.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.changed[path]; !ok && len(w.changed) >= maxChanges {
		w.lost = true
		return
	}
	w.changed[path] |= ev.Op
}

// take gives the changes since the last call, and whether some were lost. The map is the caller's until the
// next call.
func (w *watcher) take() (map[string]fsnotify.Op, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed, lost := w.changed, w.lost
	clear(w.spare)
	w.changed, w.spare, w.lost = w.spare, changed, false
	return changed, lost
}

func (w *watcher) close() {
	if w.fs != nil {
		w.fs.Close()
	}
	<-w.done
}

// watchRemedy says what to do about a directory that cannot be watched.
func watchRemedy(err error) string {
	if errors.Is(err, syscall.ENOSPC) {
		return "raise fs.inotify.max_user_watches"
	}
	return "let the agent read the directory"
}
