package file

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// directories are those in which files of ours are, or may appear.
type directories struct {
	log   *slog.Logger
	watch *watcher
	all   map[string]*dir   // by path
	reals map[string]*track // by the real path of a track whose path is a symbolic link
}

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

func (ds *directories) get(path string) *dir {
	d := ds.all[path]
	if d == nil {
		d = &dir{path: path, tracks: make(map[*track]struct{})}
		ds.all[path] = d
	}
	return d
}

// visit makes a directory known and watched, before it is read.
func (ds *directories) visit(path string) {
	d := ds.get(path)
	d.visited, d.listed, d.locked = true, true, false
	ds.watchDir(d)
	if fi, err := os.Stat(path); err == nil {
		d.mtime = fi.ModTime().UnixNano()
		d.fresh = recent(fi.ModTime(), time.Now())
	}
}

// unreadable notes that a directory cannot be read.
func (ds *directories) unreadable(path string, err error) {
	d := ds.get(path)
	d.locked = true
	ds.complain(d, "directory cannot be read; it is tried again at every poll: let the agent read it", err)
}

// recent says that what was changed then may have been changed again without a sign. Where the clock was set back since, it cannot.
func recent(changed, now time.Time) bool {
	return now.Sub(changed).Abs() < freshFor
}

func (ds *directories) watchDir(d *dir) {
	if d.watched {
		return
	}
	err := ds.watch.add(d.path)
	if err == nil {
		d.watched = true
		return
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		ds.complain(d, "directory cannot be watched and is looked at every second instead: "+watchRemedy(err), err)
	}
}

func (ds *directories) unwatch(d *dir) {
	d.watched = false
	ds.watch.remove(d.path)
}

// watchReal watches the directory in which the file of a linked path really is.
func (ds *directories) watchReal(tr *track) {
	ds.forgetReal(tr)
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
	ds.reals[tr.real] = tr
	d := ds.get(filepath.Dir(tr.real))
	d.visited = true
	ds.watchDir(d)
}

func (ds *directories) forgetReal(tr *track) {
	if ds.reals[tr.real] == tr {
		delete(ds.reals, tr.real)
	}
}

// forget forgets a track.
func (ds *directories) forget(tr *track) {
	ds.forgetReal(tr)
	if d := ds.all[filepath.Dir(tr.path)]; d != nil {
		delete(d.tracks, tr)
	}
}

func (ds *directories) beginScan() {
	for _, d := range ds.all {
		d.visited = false
	}
}

// endScan lets those go that the scan did not come to, and that hold no file of ours.
func (ds *directories) endScan() {
	for _, tr := range ds.reals {
		ds.get(filepath.Dir(tr.real)).visited = true
	}
	for path, d := range ds.all {
		if d.watched && !d.locked {
			d.warned = ""
		}
		if !d.visited && len(d.tracks) == 0 {
			ds.watch.remove(path)
			delete(ds.all, path)
		}
	}
}

// complain logs what is wrong with a directory, once until it changes.
func (ds *directories) complain(d *dir, text string, err error) {
	if d.warned != err.Error() {
		d.warned = err.Error()
		ds.log.Warn(text, "path", d.path, "error", err)
	}
}
