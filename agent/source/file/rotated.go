package file

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ossecd/agent/source/file/compressed"
)

// rotated looks for the files of saved positions, which may have been rotated while the agent was down. A rotation under its eyes is noticed
// by discovery.check; the old file is then read to its end (reader.leftAtEnd) and let go (paths.finish).
type rotated struct {
	*paths
	known []record            // as loaded, during the first scan
	index map[string]dirIndex // directories searched; lives for one scan
}

// resume takes up the saved positions of a track: in the file at its path or, where that was rotated meanwhile,
// under another name in the same directory. What cannot be had now stays saved.
func (ro *rotated) resume(tr *track) {
	var keep []record
	var newest *tail
	for _, r := range tr.saved {
		t, err := ro.reopen(tr, r)
		switch {
		case err != nil:
			ro.complain(tr, err)
			keep = append(keep, r)
		case t == nil && away(tr, r):
			keep = append(keep, r)
		case t == nil:
			ro.saving.dirty = true
			ro.Log.Warn("file was rotated or deleted while the agent was down, and the rest of it is nowhere in the directory: "+
				"lines written to it after the saved offset may be missing", "path", tr.path, "offset", r.pos.off)
		default:
			ro.Log.Info("following file", "path", tr.path, "offset", t.pos.off)
			ro.adopt(tr, t)
			newest = t
		}
	}
	tr.saved = keep
	if newest != nil && !newest.left.IsZero() {
		ro.adoptBetween(tr, newest)
	}
}

// reopen finds the file of a saved position and opens it there. It is nil where there is none, and left where
// it has another name now.
func (ro *rotated) reopen(tr *track, r record) (*tail, error) {
	name := tr.path
	in, err := stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil || in.id != r.id {
		if name = ro.list(tr)[r.id]; name == "" || ro.Compressed && compressed.IsName(name) {
			return ro.reopenPacked(tr, r), nil
		}
	}
	t, err := ro.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if ro.tails[t.id] != nil || t.id != r.id {
		t.file.Close()
		return nil, nil
	}
	ok, err := t.resume(r)
	if err != nil {
		t.file.Close()
		return nil, err
	}
	switch {
	case !ok && name != tr.path: // an inode used again
		t.file.Close()
		return ro.reopenPacked(tr, r), nil
	case !ok:
		if rest := ro.reopenPacked(tr, r); rest != nil { // as copy-truncate does it
			t.file.Close()
			return rest, nil
		}
		ro.Log.Warn("file was truncated or replaced while the agent was down; reading it from the beginning: "+
			"lines written before that, after the saved offset, may be missing", "path", tr.path, "offset", r.pos.off)
	case name != tr.path:
		ro.setLeft(t)
	}
	return t, nil
}

// away says that the directory of a saved position is not there, or another file system is in its place: then
// nothing is known about the file.
func away(tr *track, r record) bool {
	if _, err := os.Lstat(tr.path); err == nil {
		return false
	}
	in, err := stat(filepath.Dir(tr.path))
	return err != nil || in.id.Device != r.id.Device
}

// adoptBetween takes into a track the files that stood at its path and were rotated away while the agent was
// down, after the one named rotated: those whose names differ from its name in a number only (app.log.1,
// app.log-20261122), that were written to later, and that no saved position knows.
func (ro *rotated) adoptBetween(tr *track, rotated *tail) {
	old, err := statFile(rotated.file)
	if err != nil {
		return
	}
	type sibling struct {
		name  string
		mtime int64
	}
	var all []sibling
	shape := shapeOf(tr.path, rotated.file.Name(), ro.Compressed)
	for id, name := range ro.list(tr) {
		// A file that was compressed has a new inode, often that of one that was deleted.
		isKnown := func(r record) bool { return r.id == id && !(ro.Compressed && compressed.IsName(name)) }
		if ro.tails[id] != nil || name == tr.path || shapeOf(tr.path, name, ro.Compressed) != shape || slices.ContainsFunc(ro.known, isKnown) {
			continue
		}
		if in, err := stat(name); err == nil && in.mtime > old.mtime {
			all = append(all, sibling{name, in.mtime})
		}
	}
	slices.SortFunc(all, func(a, b sibling) int { return cmp.Compare(a.mtime, b.mtime) })
	for _, s := range all {
		open := openTail
		if ro.Compressed && compressed.IsName(s.name) {
			open = openPacked
		}
		t, err := open(s.name)
		if err != nil {
			ro.complain(tr, err)
			continue
		}
		ro.Log.Info("file was rotated more than once while the agent was down; reading this one too", "path", tr.path, "name", s.name)
		t.unjudged = true
		ro.setLeft(t)
		ro.adopt(tr, t)
	}
}

// shapeOf is what the names of one log's rotated files have in common: the log's own name, and where something was put into
// it or behind it, that with each number as 0. So app2.log.1 and app2.log.17 belong together, and app.log.1 and
// app2.log.1 do not. Other names have in common what is no number.
func shapeOf(own, path string, unpacked bool) string {
	own, name := filepath.Base(own), filepath.Base(path)
	if unpacked {
		name = compressed.CutEnding(name)
	}
	same := 0
	for same < min(len(own), len(name)) && own[same] == name[same] {
		same++
	}
	if added, ok := strings.CutSuffix(name[same:], own[same:]); ok {
		return own[:same] + "/" + digits.ReplaceAllString(added, "0") + "/" + own[same:]
	}
	return digits.ReplaceAllString(name, "0")
}

var digits = regexp.MustCompile(`[0-9]+`)

// dirIndex gives the paths of the regular files of a directory.
type dirIndex map[identity]string

// list reads the directory of a track, or where that is a symbolic link, the one of its file. During a scan each
// is read once.
func (ro *rotated) list(tr *track) dirIndex {
	real := tr.path
	if r, err := filepath.EvalSymlinks(tr.path); err == nil {
		real = r
	}
	path := filepath.Dir(real)
	if index := ro.index[path]; index != nil {
		return index
	}
	index := make(dirIndex)
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(path, e.Name())
		if in, err := stat(name); err == nil {
			index[in.id] = name
		}
	}
	if ro.index != nil {
		ro.index[path] = index
	}
	return index
}
