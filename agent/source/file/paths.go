package file

import (
	"cmp"
	"errors"
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

// paths holds the tracks and their tails: which file stands, or stood, at which path.
type paths struct {
	*settings
	*notices
	turns  *turns
	saving *saving
	dirs   *directories

	tracks  map[string]*track  // by path as matched
	tails   map[identity]*tail // every open file, once
	crowded bool               // no more files can be opened, as found since the last poll
}

// track finds or makes the track of a path.
func (p *paths) track(path string) *track {
	tr := p.tracks[path]
	if tr == nil {
		tr = &track{path: path, location: cmp.Or(p.Location, path), coding: p.form.coding}
		p.tracks[path] = tr
		p.dirs.get(filepath.Dir(path)).tracks[tr] = struct{}{}
	}
	return tr
}

// open is openTail, but once no more files can be opened it does not try until the next poll.
func (p *paths) open(path string) (*tail, error) {
	if p.crowded {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
	}
	t, err := openTail(path)
	p.crowded = errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
	return t, err
}

// claimed says that the file is followed already, and makes sure that this path knows it.
func (p *paths) claimed(tr *track, id identity) bool {
	t := p.tails[id]
	if t == nil {
		return false
	}
	if t.track != tr {
		t.alias = tr.path
		return true
	}
	t.left, t.released = time.Time{}, false // it came back
	tr.tails = append(slices.DeleteFunc(tr.tails, func(o *tail) bool { return o == t }), t)
	p.turns.wake(tr)
	return true
}

// adopt takes an open file into a track.
func (p *paths) adopt(tr *track, t *tail) {
	t.track = tr
	t.room, t.form = source.Room(p.MaxEvent, tr.location), p.form
	tr.tails = append(tr.tails, t)
	tr.warned = ""
	p.tails[t.id] = t
	p.turns.unread++
	p.saving.dirty = true
	p.dirs.watchReal(tr)
	p.turns.wake(tr)
}

// leave notes that the path does not stand for the file any more. It is read on until it has been still.
func (p *paths) leave(t *tail) {
	p.setLeft(t)
	p.turns.wake(t.track)
}

// setLeft is leave for a file that no turn is due to yet.
func (p *paths) setLeft(t *tail) {
	t.left = time.Now()
	p.turns.soon[t] = struct{}{}
}

// finish lets a left file go, or follows it on where its new name is one of ours.
func (p *paths) finish(t *tail) {
	tr := t.track
	tr.tails = slices.DeleteFunc(tr.tails, func(o *tail) bool { return o == t })
	p.saving.dirty = true
	delete(p.turns.soon, t)
	if in, err := stat(t.alias); t.alias != "" && err == nil && in.id == t.id {
		to := p.track(t.alias)
		if cur := to.current(); cur != nil {
			p.leave(cur)
		}
		t.track, t.room, t.alias = to, source.Room(p.MaxEvent, to.location), ""
		t.left, t.released = time.Time{}, false
		to.tails = append(to.tails, t)
		p.Log.Debug("rotated file is followed under its new name", "from", tr.path, "path", to.path)
		p.dirs.watchReal(to)
		p.turns.wake(to)
	} else {
		if tr.current() == nil {
			p.Log.Info("file is gone; waiting for a new one", "path", tr.path)
		}
		p.turns.setDrained(t, true)
		delete(p.tails, t.id)
		p.saving.progress.forget(t.id)
		p.wakeCopies(t)
		t.track = nil
		t.close()
	}
	p.turns.wake(tr)
	p.forget(tr)
}

// wakeCopies has copies of a file looked at again: it was truncated, or is let go.
func (p *paths) wakeCopies(of *tail) {
	for _, t := range p.tails {
		if t.copyOf == of {
			p.turns.push(t)
		}
	}
}

// forget drops a track that holds nothing.
func (p *paths) forget(tr *track) {
	if len(tr.tails) == 0 && len(tr.saved) == 0 {
		p.dirs.forget(tr)
		delete(p.tracks, tr.path)
	}
}
