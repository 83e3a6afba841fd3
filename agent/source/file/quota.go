package file

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// maxSaid bounds the messages about single files in a minute: of a hundred thousand files each would have one.
const maxSaid = 100

// quota counts the messages of a minute.
type quota struct {
	began               time.Time
	said, news, leftOut int
}

// maySay says whether there may be one more message of a kind about a single file.
func (f *follower) maySay(kind *int) bool {
	now := time.Now()
	f.tellMore(now)
	if f.said.began.IsZero() {
		f.said.began = now
	}
	if *kind == maxSaid {
		f.said.leftOut++
		return false
	}
	*kind++
	return true
}

// tellMore says how many messages were left out, once the minute is over.
func (f *follower) tellMore(now time.Time) {
	if f.said.began.IsZero() || now.Sub(f.said.began) < time.Minute {
		return
	}
	if f.said.leftOut > 0 {
		f.Log.Warn("more messages about files were left out in the last minute: the ones before say what is wrong; narrow the globs",
			"messages", f.said.leftOut, "files", len(f.tracks), "followed", len(f.tails))
	}
	f.said = quota{}
}

// openTail is openTail, but once no more files can be opened it does not try until the next poll.
func (f *follower) openTail(path string) (*tail, error) {
	if f.crowded {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
	}
	t, err := openTail(path)
	f.crowded = errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
	return t, err
}
