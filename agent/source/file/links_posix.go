//go:build unix && !linux

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// openFollowed opens a file as openShared does, and looks then how the path leads there. A path that leads elsewhere by then is
// refused: a link may have been swapped. Directories that are swapped and swapped back several times within microseconds are not noticed,
// since not every system opens a directory that may be searched and not read.
func openFollowed(path string) (*os.File, error) {
	f, err := openShared(path)
	if err == nil {
		if err = checkLinks(path, f); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

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
		if err := mayFollow(next, uidOf(fi), owner); err != nil {
			return "", err
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

func uidOf(fi os.FileInfo) uint32 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}
