package queue

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lookEvery is how often the files are looked for while there is something that is not delivered.
const lookEvery = time.Second

// lookLater has the files looked for in time, though nobody appends. Appending is held.
func (q *Queue) lookLater() {
	if delivered, next := q.Bounds(); !q.watching && delivered < next {
		q.watching = true
		time.AfterFunc(lookEvery, q.lookIdle)
	}
}

func (q *Queue) lookIdle() {
	q.appending.Lock()
	defer q.appending.Unlock()
	q.watching = false
	if delivered, next := q.Bounds(); q.isClosed() || delivered >= next {
		return
	}
	if err := q.look(); err != nil && q.lookLog.Due(time.Now()) {
		q.cfg.Log.Error("somebody has removed the files of a queue on disk, and they cannot be made again", "dir", q.cfg.Dir, "err", err,
			"remedy", "make the directory again, writable for this user, before ossecd stops: what waits would be lost")
	}
	q.lookLater()
}

// look notices that somebody has removed or renamed the files, or their directory. What the newest segment holds is written anew, since
// that is still open; what the others held is lost. Without that, all that is written from then on would be lost at the end of the
// process. Appending is held.
func (q *Queue) look() error {
	now := time.Now()
	if now.Sub(q.looked) < lookEvery {
		return nil
	}
	q.mu.Lock()
	newest, readers := q.newest(), q.readers
	var older []uint64
	for _, g := range q.segments[:len(q.segments)-1] {
		older = append(older, g.first)
	}
	q.mu.Unlock()
	inPlace := isAt(newest.file, q.path(newest.first))
	for _, r := range readers {
		inPlace = inPlace && r.inPlace()
	}
	if inPlace {
		q.looked = now
		return nil
	}
	q.looked = time.Time{} // until all is well
	if err := os.MkdirAll(q.cfg.Dir, 0o700); err != nil {
		return err
	}
	if err := q.makeAnew(newest); err != nil {
		return err
	}
	for _, r := range readers {
		if err := r.reopen(); err != nil {
			return err
		}
	}
	missing := 0 // of the oldest
	for missing < len(older) {
		if _, err := os.Lstat(q.path(older[missing])); !isGone(err) {
			break
		}
		missing++
	}
	q.mu.Lock()
	defer q.unlock()
	before := q.slowest().Record
	for _, first := range older[:missing] {
		if len(q.segments) > 1 && q.segments[0].first == first {
			next := q.segments[1]
			q.skip(Position{next.first, next.start(), next.first}, nil)
			q.remove()
		}
	}
	q.dirty = append(q.dirty, q.readers...)
	q.looked = now
	q.cfg.Log.Error("somebody has removed or renamed the files of a queue on disk; those of what waits are made again", "dir", q.cfg.Dir,
		"records_lost", q.slowest().Record-before, "remedy", "leave the directory alone while this program runs")
	return nil
}

// makeAnew writes the newest segment again, from the file that is still open. Appending is held.
func (q *Queue) makeAnew(g *segment) error {
	path := q.path(g.first)
	if isAt(g.file, path) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, io.NewSectionReader(g.file, 0, g.size)); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	old := g.file
	g.file = f
	for _, r := range q.readers {
		if r.file != nil && r.fileOf == g.first {
			r.file = nil // it may be reading; the file is closed once nothing refers to it
		}
	}
	q.syncLater(g.first)
	return old.Close()
}

// isAt says that a file is where it was made, as far as can be seen.
func isAt(f *os.File, path string) bool {
	there, err := os.Lstat(path)
	if err != nil {
		return !isGone(err)
	}
	ours, err := f.Stat()
	return err != nil || os.SameFile(there, ours)
}

// isGone says that there is no such file, or that one stands where its directory should be.
func isGone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

func (r *Reader) inPlace() bool {
	r.saving.Lock()
	defer r.saving.Unlock()
	return isAt(r.cursor.file, filepath.Join(r.q.cfg.Dir, placeOf(r.name)))
}

func (r *Reader) reopen() error {
	r.saving.Lock()
	defer r.saving.Unlock()
	return errors.Join(r.cursor.close(), r.cursor.open(filepath.Join(r.q.cfg.Dir, placeOf(r.name))))
}
