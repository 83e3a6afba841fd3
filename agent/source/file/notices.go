package file

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
	"time"
)

// maxSaid bounds the messages about single files in a minute: of a hundred thousand files each would have one.
const maxSaid = 100

// notices logs about single files, and counts what it leaves out.
type notices struct {
	log                       *slog.Logger
	files                     func() (known, followed int)
	began                     time.Time // of the minute
	complaints, news, leftOut int       // of the minute
}

// may says whether there may be one more message of a kind about a single file.
func (n *notices) may(kind *int) bool {
	now := time.Now()
	n.tellMore(now)
	if n.began.IsZero() {
		n.began = now
	}
	if *kind == maxSaid {
		n.leftOut++
		return false
	}
	*kind++
	return true
}

// tellMore says how many messages were left out, once the minute is over.
func (n *notices) tellMore(now time.Time) {
	if n.began.IsZero() || now.Sub(n.began) < time.Minute {
		return
	}
	if n.leftOut > 0 {
		known, followed := n.files()
		n.log.Warn("more messages about files were left out in the last minute: the ones before say what is wrong; narrow the globs",
			"messages", n.leftOut, "files", known, "followed", followed)
	}
	n.began, n.complaints, n.news, n.leftOut = time.Time{}, 0, 0, 0
}

// following logs that a file is followed that was met for the first time.
func (n *notices) following(t *tail, path string) {
	if n.may(&n.news) {
		n.log.Info("following file", "path", path, "offset", t.pos.off)
	}
}

var errLongPath = errors.New("the path leaves no room for a message in an event")

// complain logs what is wrong with a path, once until it changes.
func (n *notices) complain(tr *track, err error) {
	if tr.warned == err.Error() {
		return
	}
	tr.warned = err.Error()
	if !n.may(&n.complaints) {
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
	log := n.log.Warn
	if errors.Is(err, syscall.ELOOP) {
		log = n.log.Error
	}
	log("file is not followed: "+remedy, "path", tr.path, "error", fmt.Sprint(err))
}
