//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// errLink is the error for a link that somebody made who does not own what it leads to.
var errLink = errors.New("a symbolic link to a file of another owner")

// checkLinks says whether f, opened by this path, may be read as far as links go: each link on the way, also one that another
// link leads to, must belong to the superuser, to us, or to the owner of the file. Without that whoever may write in a followed
// directory, or where a link of the administrator leads to, could have an agent that runs as root send files that he cannot read
// himself. A path that leads elsewhere by now is refused, too: a link may have been swapped while we looked.
func checkLinks(path string, f *os.File) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	real, err := walk(absolute(path), uidOf(opened))
	if err != nil {
		return err
	}
	if now, err := os.Lstat(real); err != nil || !os.SameFile(now, opened) {
		return fmt.Errorf("%s: %w", path, errors.Join(errMoved, err))
	}
	return nil
}

// maxLinks is how many links may be on the way to a file, as in Linux.
const maxLinks = 40

// walk goes from link to link as the system does, and gives the path without links that it comes to.
func walk(path string, owner uint32) (string, error) {
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		fi, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if fi.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		if uid := uidOf(fi); uid != 0 && uid != owner && uid != uint32(os.Geteuid()) {
			return "", fmt.Errorf("%s: %w: the link is of user %d, the file of user %d", next, errLink, uid, owner)
		}
		if links++; links > maxLinks {
			return "", &os.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return at, nil
}

// errMoved is the error for a path that led elsewhere while it was opened.
var errMoved = errors.New("it was replaced while it was opened")

func uidOf(fi os.FileInfo) uint32 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}
