package file

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"ossecd/agent/source"
	"ossecd/agent/source/file/pattern"
)

// discovery finds the files that the patterns stand for, and notices what becomes of them: by what the system tells of
// directories, and by looking.
type discovery struct {
	*paths
	rotated *rotated
	stall   *stall

	known   positions // as loaded; emptied by the first scan
	scanned bool      // the first scan is done
	rescan  bool      // the directories must be read again
	scanAt  time.Time // not before, where the last one took long
	polls   int       // polls so far
	polled  time.Time // the last one
}

// rest is how long to leave off looking for changes after a look that took so long: with a hundred thousand files it takes
// longer than the time between two, and lines are to be read meanwhile.
func rest(took time.Duration) time.Duration {
	if took < 20*time.Millisecond {
		return 0
	}
	return 5 * took
}

// due is when to look next.
func (d *discovery) due() time.Duration {
	due := time.Until(d.polled.Add(d.pace.poll))
	if d.rescan {
		due = min(due, time.Until(d.scanAt))
	}
	return due
}

// tick looks where that is due.
func (d *discovery) tick(now time.Time) {
	if now.Sub(d.polled) >= d.pace.poll {
		d.poll()
		end := time.Now()
		d.polled = end.Add(rest(end.Sub(now)))
	}
	d.scanIfDue()
}

// scanIfDue scans where that is asked for and may be.
func (d *discovery) scanIfDue() {
	if d.rescan && !time.Now().Before(d.scanAt) {
		d.scan()
	}
}

// scan reads all directories of the globs and checks all paths, found or known.
func (d *discovery) scan() {
	d.rescan = false
	began := time.Now()
	defer func() {
		end := time.Now()
		d.scanAt = end.Add(rest(end.Sub(began)))
	}()
	d.rotated.index = make(map[string]dirIndex)
	d.dirs.beginScan()
	seen := make(map[string]struct{})
	var found []string
	x := pattern.Expander{
		Visit:  d.dirs.visit,
		Failed: d.dirs.unreadable,
		Found: func(path string) {
			if _, ok := seen[path]; !ok && !d.patterns.Excluded(path) {
				seen[path] = struct{}{}
				found = append(found, path)
			}
		},
	}
	for _, g := range d.patterns.Patterns {
		x.Files(g)
	}
	if !d.scanned {
		d.takeUp(found)
	}
	for _, path := range found {
		d.check(path)
	}
	for path := range d.tracks {
		if _, ok := seen[path]; !ok {
			d.check(path)
		}
	}
	d.scanned = true
	d.known.files, d.rotated.known, d.rotated.index = nil, nil, nil
	d.dirs.endScan()
}

// takeUp hands the saved positions to their tracks, and takes up all of them before any file is met for the first
// time: what was rotated belongs to its old path.
func (d *discovery) takeUp(found []string) {
	names := make(map[string]string) // absolute to as matched
	for _, path := range found {
		names[absolute(path)] = path
	}
	var tracks []*track
	for _, r := range d.known.files {
		path, ok := names[string(r.path)]
		if !ok {
			path, ok = d.patterns.Unabsolute(string(r.path))
		}
		if !ok {
			continue // not configured any more
		}
		tr := d.track(path)
		tr.known = true
		if len(tr.saved) == 0 {
			tracks = append(tracks, tr)
		}
		tr.saved = append(tr.saved, r)
	}
	for _, tr := range tracks {
		d.check(tr.path)
	}
}

// check compares a path with what is known of it. It says true where something had changed.
func (d *discovery) check(path string) bool {
	in, err := stat(path)
	tr := d.tracks[path]
	if errors.Is(err, fs.ErrNotExist) {
		return tr != nil && d.absent(tr)
	}
	if tr == nil {
		tr = d.track(path)
	}
	if err != nil {
		d.complain(tr, err)
		return false
	}
	if cur := tr.current(); cur != nil {
		if cur.id == in.id {
			tr.warned = ""
			changed := cur.drained && (in.size != cur.size || in.mtime != cur.mtime)
			if changed {
				d.turns.wake(tr)
			}
			return changed
		}
		d.leave(cur)
	}
	if !in.mode.IsRegular() {
		d.complain(tr, errNotRegular)
		return false
	}
	if source.Room(d.MaxEvent, cmp.Or(d.Location, path)) < minRoom {
		d.complain(tr, errLongPath)
		return false
	}
	if len(tr.saved) > 0 {
		d.rotated.resume(tr)
	}
	if cur := tr.current(); cur != nil {
		return true
	}
	if len(tr.saved) > 0 {
		return false // there, but not to be had yet
	}
	if d.claimed(tr, in.id) {
		return false
	}
	return d.meet(tr, in)
}

// absent is check for a path where nothing is.
func (d *discovery) absent(tr *track) bool {
	tr.warned = ""
	if cur := tr.current(); cur != nil {
		d.leave(cur)
		return true
	}
	if len(tr.saved) > 0 && !d.scanned {
		d.rotated.resume(tr)
	}
	d.forget(tr)
	return false
}

// meet begins to follow the file at a path for which no position is known.
func (d *discovery) meet(tr *track, in info) bool {
	fromEnd := !d.scanned && !d.FromStart && !tr.known && !d.known.covers(tr.path)
	t, err := d.open(tr.path)
	if err != nil {
		if fromEnd { // what stands in it now is old also when it can be read later
			tr.saved = []record{{id: in.id, reached: reached{pos: mark{off: in.size}}}}
			d.saving.dirty = true
		}
		d.complain(tr, err)
		return false
	}
	if d.claimed(tr, t.id) { // replaced since it was looked at
		t.file.Close()
		return true
	}
	if fromEnd {
		t.room = source.Room(d.MaxEvent, tr.location)
		t.form = d.form
		if err := t.toEnd(); err != nil {
			t.file.Close()
			d.complain(tr, err)
			return false
		}
	} else {
		t.unjudged = true
	}
	if len(tr.tails) > 0 {
		d.Log.Info("file rotated; following the new one after the rest of the old one", "path", tr.path)
	} else {
		d.following(t, tr.path)
	}
	d.adopt(tr, t)
	return true
}

// takeChanges looks at what the system told of.
func (d *discovery) takeChanges() {
	changed, lost := d.dirs.watch.take()
	if lost {
		d.rescan = true
	}
	for path, op := range changed {
		d.changed(path, op)
	}
	d.scanIfDue()
}

func (d *discovery) changed(path string, op fsnotify.Op) {
	if in := d.dirs.all[filepath.Dir(path)]; in != nil {
		in.heard = true
	}
	const goes = fsnotify.Remove | fsnotify.Rename
	if gone := d.dirs.all[path]; gone != nil && op&goes != 0 {
		d.dirs.unwatch(gone)
		d.rescan = true
	}
	if tr := d.dirs.reals[path]; tr != nil {
		d.turns.wake(tr)
		if op != fsnotify.Write {
			d.check(tr.path)
		}
	}
	switch tr := d.tracks[path]; {
	case tr != nil && op == fsnotify.Write && tr.current() != nil:
		d.turns.wake(tr)
	case tr != nil || d.patterns.Match(path):
		d.check(path)
	case op&fsnotify.Create != 0 && pattern.IsDir(path):
		d.rescan = d.rescan || d.patterns.OnTheWay(path)
	}
}

// poll looks for changes that no event told of.
func (d *discovery) poll() {
	d.crowded = false
	d.takeChanges()
	d.polls++
	for _, in := range d.dirs.all {
		if in.watched && !in.deaf && d.polls%d.pace.slow != 0 {
			continue
		}
		heard := in.heard
		in.heard = false
		fi, err := os.Stat(in.path)
		if err != nil && in.watched {
			d.dirs.unwatch(in)
		}
		if err != nil || in.locked || in.fresh || in.listed && fi.ModTime().UnixNano() != in.mtime {
			d.rescan = true
		}
		missed := false
		for tr := range in.tracks {
			d.stall.begin(&tr.path)
			missed = d.check(tr.path) || missed
			d.stall.end()
		}
		if missed && in.watched && !heard && !in.deaf {
			in.deaf = true
			d.Log.Debug("no event told of a change; looking every second", "path", in.path)
		}
	}
	d.scanIfDue()
}
