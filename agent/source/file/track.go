package file

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ossecd/agent/source"
)

// track is one path, as configured or as a glob matched it.
type track struct {
	path     string
	location string   // in its events
	coding   coding   // as configured
	real     string   // the real path where path is a symbolic link and watched there, else ""
	tails    []*tail  // the files of this path, oldest first; only the last one can be the one followed
	saved    []record // positions not taken up yet
	known    bool     // the positions file has it
	warned   string   // the last complaint logged
}

// current is the followed file, nil for none.
func (tr *track) current() *tail {
	if n := len(tr.tails); n > 0 && tr.tails[n-1].left.IsZero() {
		return tr.tails[n-1]
	}
	return nil
}

// track finds or makes the track of a path.
func (f *follower) track(path string) *track {
	tr := f.tracks[path]
	if tr == nil {
		tr = &track{path: path, location: cmp.Or(f.Location, path), coding: f.form.coding}
		f.tracks[path] = tr
		f.dir(filepath.Dir(path)).tracks[tr] = struct{}{}
	}
	return tr
}

// wake gives all files of a path a turn.
func (f *follower) wake(tr *track) {
	for _, t := range tr.tails {
		f.push(t)
	}
}

// check compares a path with what is known of it. It says true where something had changed.
func (f *follower) check(path string) bool {
	in, err := stat(path)
	tr := f.tracks[path]
	if errors.Is(err, fs.ErrNotExist) {
		return tr != nil && f.absent(tr)
	}
	if tr == nil {
		tr = f.track(path)
	}
	if err != nil {
		f.complain(tr, err)
		return false
	}
	if cur := tr.current(); cur != nil {
		if cur.id == in.id {
			tr.warned = ""
			changed := cur.drained && (in.size != cur.size || in.mtime != cur.mtime)
			if changed {
				f.wake(tr)
			}
			return changed
		}
		f.leave(cur)
	}
	if !in.mode.IsRegular() {
		f.complain(tr, errNotRegular)
		return false
	}
	if source.Room(f.MaxEvent, cmp.Or(f.Location, path)) < minRoom {
		f.complain(tr, errLongPath)
		return false
	}
	if len(tr.saved) > 0 {
		f.resume(tr)
	}
	if cur := tr.current(); cur != nil {
		return true
	}
	if len(tr.saved) > 0 {
		return false // there, but not to be had yet
	}
	if f.claimed(tr, in.id) {
		return false
	}
	return f.meet(tr, in)
}

// absent is check for a path where nothing is.
func (f *follower) absent(tr *track) bool {
	tr.warned = ""
	if cur := tr.current(); cur != nil {
		f.leave(cur)
		return true
	}
	if len(tr.saved) > 0 && !f.scanned {
		f.resume(tr)
	}
	f.forget(tr)
	return false
}

// claimed says that the file is followed already, and makes sure that this path knows it.
func (f *follower) claimed(tr *track, id identity) bool {
	t := f.tails[id]
	if t == nil {
		return false
	}
	if t.track != tr {
		t.alias = tr.path
		return true
	}
	t.left, t.released = time.Time{}, false // it came back
	tr.tails = append(slices.DeleteFunc(tr.tails, func(o *tail) bool { return o == t }), t)
	f.wake(tr)
	return true
}

// meet begins to follow the file at a path for which no position is known.
func (f *follower) meet(tr *track, in info) bool {
	fromEnd := !f.scanned && !f.FromStart && !tr.known && !f.known.covers(tr.path)
	t, err := f.openTail(tr.path)
	if err != nil {
		if fromEnd { // what stands in it now is old also when it can be read later
			tr.saved = []record{{id: in.id, pos: mark{off: in.size}}}
			f.dirty = true
		}
		f.complain(tr, err)
		return false
	}
	if f.claimed(tr, t.id) { // replaced since it was looked at
		t.file.Close()
		return true
	}
	if fromEnd {
		t.room = source.Room(f.MaxEvent, tr.location)
		t.form = f.form
		if err := t.toEnd(); err != nil {
			t.file.Close()
			f.complain(tr, err)
			return false
		}
	} else {
		t.unjudged = true
	}
	if len(tr.tails) > 0 {
		f.Log.Info("file rotated; following the new one after the rest of the old one", "path", tr.path)
	} else if f.maySay(&f.said.news) {
		f.Log.Info("following file", "path", tr.path, "offset", t.pos.off)
	}
	f.adopt(tr, t)
	return true
}

// adopt takes an open file into a track.
func (f *follower) adopt(tr *track, t *tail) {
	t.track = tr
	t.room, t.form = source.Room(f.MaxEvent, tr.location), f.form
	tr.tails = append(tr.tails, t)
	tr.warned = ""
	f.tails[t.id] = t
	f.unread++
	f.dirty = true
	f.watchReal(tr)
	f.wake(tr)
}

// leave notes that the path does not stand for the file any more. It is read on until it has been still.
func (f *follower) leave(t *tail) {
	t.left = time.Now()
	f.waiting[t] = struct{}{}
	f.wake(t.track)
}

// finish lets a left file go, or follows it on where its new name is one of ours.
func (f *follower) finish(t *tail) {
	tr := t.track
	tr.tails = slices.DeleteFunc(tr.tails, func(o *tail) bool { return o == t })
	f.dirty = true
	delete(f.waiting, t)
	if in, err := stat(t.alias); t.alias != "" && err == nil && in.id == t.id {
		to := f.track(t.alias)
		if cur := to.current(); cur != nil {
			f.leave(cur)
		}
		t.track, t.room, t.alias = to, source.Room(f.MaxEvent, to.location), ""
		t.left, t.released = time.Time{}, false
		to.tails = append(to.tails, t)
		f.Log.Debug("rotated file is followed under its new name", "from", tr.path, "path", to.path)
		f.watchReal(to)
		f.wake(to)
	} else {
		if tr.current() == nil {
			f.Log.Info("file is gone; waiting for a new one", "path", tr.path)
		}
		f.setDrained(t, true)
		delete(f.tails, t.id)
		f.progress.forget(t.id)
		f.wakeCopies(t)
		t.track = nil
		t.close()
	}
	f.wake(tr)
	f.forget(tr)
}

// forget drops a track that holds nothing.
func (f *follower) forget(tr *track) {
	if len(tr.tails) > 0 || len(tr.saved) > 0 {
		return
	}
	if f.reals[tr.real] == tr {
		delete(f.reals, tr.real)
	}
	if d := f.dirs[filepath.Dir(tr.path)]; d != nil {
		delete(d.tracks, tr)
	}
	delete(f.tracks, tr.path)
}

var errLongPath = errors.New("the path leaves no room for a message in an event")

// complain logs what is wrong with a path, once until it changes.
func (f *follower) complain(tr *track, err error) {
	if tr.warned == err.Error() {
		return
	}
	tr.warned = err.Error()
	if !f.maySay(&f.said.said) {
		return
	}
	remedy := "it is tried again at every poll"
	switch {
	case errors.Is(err, fs.ErrPermission):
		remedy = "let the agent read it (group or ACL); it is tried again at every poll"
	case errors.Is(err, errNotRegular):
		remedy = "left out; only regular files are followed: narrow the glob"
	case errors.Is(err, errLink):
		remedy = "left out; make the link as root or as the file's owner, or name the file itself"
	case errors.Is(err, errLongPath):
		remedy = "left out; use a shorter path, for example through a symbolic link"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		remedy = "raise the limit of open files (LimitNOFILE= in the systemd unit, ulimit -n), or narrow the glob; it is tried again at every poll"
	case errors.Is(err, syscall.ELOOP):
		remedy = "the symbolic link leads back to itself: correct it; it is tried again at every poll"
	}
	log := f.Log.Warn
	if errors.Is(err, syscall.ELOOP) {
		log = f.Log.Error
	}
	log("file is not followed: "+remedy, "path", tr.path, "error", fmt.Sprint(err))
}
