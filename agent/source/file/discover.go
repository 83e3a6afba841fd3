package file

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// dir is a directory in which files of ours are, or may appear.
type dir struct {
	path    string
	tracks  map[*track]struct{}
	watched bool  // the system tells of changes
	heard   bool  // it told something since the last poll
	deaf    bool  // it did not tell of a change that a poll found, as on network mounts: polled as if not watched
	mtime   int64 // before it was last read
	fresh   bool  // mtime was so recent then that a change may have left it the same
	listed  bool  // read for a glob, so that its own changes matter
	locked  bool  // could not be read
	visited bool  // in the present scan
	warned  string
}

// freshFor is longer than the steps in which any file system counts time.
const freshFor = 2 * time.Second

func (f *follower) dir(path string) *dir {
	d := f.dirs[path]
	if d == nil {
		d = &dir{path: path, tracks: make(map[*track]struct{})}
		f.dirs[path] = d
	}
	return d
}

// visit makes a directory known and watched, before it is read.
func (f *follower) visit(path string) {
	d := f.dir(path)
	d.visited, d.listed, d.locked = true, true, false
	f.watchDir(d)
	if fi, err := os.Stat(path); err == nil {
		d.mtime = fi.ModTime().UnixNano()
		d.fresh = recent(fi.ModTime(), time.Now())
	}
}

// recent says that what was changed then may have been changed again without a sign. Where the clock was set back since, it cannot.
func recent(changed, now time.Time) bool {
	return now.Sub(changed).Abs() < freshFor
}

func (f *follower) watchDir(d *dir) {
	if d.watched {
		return
	}
	err := f.watch.add(d.path)
	if err == nil {
		d.watched = true
		return
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		f.complainDir(d, "directory cannot be watched and is looked at every second instead: "+watchRemedy(err), err)
	}
}

// watchReal watches the directory in which the file of a linked path really is.
func (f *follower) watchReal(tr *track) {
	if f.reals[tr.real] == tr {
		delete(f.reals, tr.real)
	}
	tr.real = ""
	fi, err := os.Lstat(tr.path)
	if err != nil || fi.Mode()&os.ModeSymlink == 0 {
		return
	}
	real, err := filepath.EvalSymlinks(tr.path)
	if err != nil {
		return
	}
	tr.real = filepath.Clean(real)
	f.reals[tr.real] = tr
	d := f.dir(filepath.Dir(tr.real))
	d.visited = true
	f.watchDir(d)
}

// rest is how long to leave off looking for changes after a look that took so long: with a hundred thousand files it takes
// longer than the time between two, and lines are to be read meanwhile.
func rest(took time.Duration) time.Duration {
	if took < 20*time.Millisecond {
		return 0
	}
	return 5 * took
}

// scanIfDue scans where that is asked for and may be.
func (f *follower) scanIfDue() {
	if f.rescan && !time.Now().Before(f.scanAt) {
		f.scan()
	}
}

// scan reads all directories of the globs and checks all paths, found or known.
func (f *follower) scan() {
	f.rescan = false
	began := time.Now()
	defer func() {
		end := time.Now()
		f.scanAt = end.Add(rest(end.Sub(began)))
	}()
	f.index = make(map[string]dirIndex)
	for _, d := range f.dirs {
		d.visited = false
	}
	seen := make(map[string]struct{})
	var found []string
	x := expander{
		visit: f.visit,
		found: func(path string) {
			if _, ok := seen[path]; !ok && !f.excluded(path) {
				seen[path] = struct{}{}
				found = append(found, path)
			}
		},
		failed: func(path string, err error) {
			d := f.dir(path)
			d.locked = true
			f.complainDir(d, "directory cannot be read; it is tried again at every poll: let the agent read it", err)
		},
	}
	for _, g := range f.globs {
		x.files(g)
	}
	if !f.scanned {
		f.takeUp(found)
	}
	for _, path := range found {
		f.check(path)
	}
	for path := range f.tracks {
		if _, ok := seen[path]; !ok {
			f.check(path)
		}
	}
	f.scanned = true
	f.known.files = nil
	f.index = nil
	for _, tr := range f.reals {
		f.dir(filepath.Dir(tr.real)).visited = true
	}
	for path, d := range f.dirs {
		if d.watched && !d.locked {
			d.warned = ""
		}
		if !d.visited && len(d.tracks) == 0 {
			f.watch.remove(path)
			delete(f.dirs, path)
		}
	}
}

// takeUp hands the saved positions to their tracks, and takes up all of them before any file is met for the first
// time: what was rotated belongs to its old path.
func (f *follower) takeUp(found []string) {
	names := make(map[string]string) // absolute to as matched
	for _, path := range found {
		names[absolute(path)] = path
	}
	var tracks []*track
	for _, r := range f.known.files {
		path, ok := names[string(r.path)]
		if !ok {
			path, ok = f.unabsolute(string(r.path))
		}
		if !ok {
			continue // not configured any more
		}
		tr := f.track(path)
		tr.known = true
		if len(tr.saved) == 0 {
			tracks = append(tracks, tr)
		}
		tr.saved = append(tr.saved, r)
	}
	for _, tr := range tracks {
		f.check(tr.path)
	}
}

// unabsolute finds what a path of the positions file is called by the globs, if by any.
func (f *follower) unabsolute(path string) (string, bool) {
	if f.matches(path) {
		return path, true
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(wd, path)
	return rel, err == nil && f.matches(rel)
}

func (f *follower) matches(path string) bool {
	for _, g := range f.globs {
		if g.match(path) {
			return !f.excluded(path)
		}
	}
	return false
}

func (f *follower) excluded(path string) bool {
	return f.Compressed && packedName(path) || slices.ContainsFunc(f.exclude, func(g glob) bool { return g.match(path) })
}

// takeChanges looks at what the system told of.
func (f *follower) takeChanges() {
	changed, lost := f.watch.take()
	if lost {
		f.rescan = true
	}
	for path, op := range changed {
		f.changed(path, op)
	}
	f.scanIfDue()
}

func (f *follower) changed(path string, op fsnotify.Op) {
	if d := f.dirs[filepath.Dir(path)]; d != nil {
		d.heard = true
	}
	const goes = fsnotify.Remove | fsnotify.Rename
	if d := f.dirs[path]; d != nil && op&goes != 0 {
		d.watched = false
		f.watch.remove(path)
		f.rescan = true
	}
	if tr := f.reals[path]; tr != nil {
		f.wake(tr)
		if op != fsnotify.Write {
			f.check(tr.path)
		}
	}
	switch tr := f.tracks[path]; {
	case tr != nil && op == fsnotify.Write && tr.current() != nil:
		f.wake(tr)
	case tr != nil || f.matches(path):
		f.check(path)
	case op&fsnotify.Create != 0 && isDir(path):
		for _, g := range f.globs {
			f.rescan = f.rescan || g.onTheWay(path)
		}
	}
}

// poll looks for changes that no event told of.
func (f *follower) poll() {
	f.crowded = false
	f.takeChanges()
	f.polls++
	for _, d := range f.dirs {
		if d.watched && !d.deaf && f.polls%f.pace.slow != 0 {
			continue
		}
		heard := d.heard
		d.heard = false
		fi, err := os.Stat(d.path)
		if err != nil && d.watched {
			d.watched = false
			f.watch.remove(d.path)
		}
		if err != nil || d.locked || d.fresh || d.listed && fi.ModTime().UnixNano() != d.mtime {
			f.rescan = true
		}
		missed := false
		for tr := range d.tracks {
			f.stall.begin(&tr.path)
			missed = f.check(tr.path) || missed
			f.stall.end()
		}
		if missed && d.watched && !heard && !d.deaf {
			d.deaf = true
			f.Log.Debug("no event told of a change; looking every second", "path", d.path)
		}
	}
	f.scanIfDue()
}

// complainDir logs what is wrong with a directory, once until it changes.
func (f *follower) complainDir(d *dir, text string, err error) {
	if d.warned != err.Error() {
		d.warned = err.Error()
		f.Log.Warn(text, "path", d.path, "error", err)
	}
}
