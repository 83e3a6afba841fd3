package file

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// openFollowed opens a file as openShared does, and goes from directory to directory itself, each held open while the next name is looked up
// in it, so that nothing which is swapped meanwhile leads elsewhere than where was looked. As to links see mayFollow.
func openFollowed(path string) (*os.File, error) {
	fail := func(err error) (*os.File, error) { return nil, &fs.PathError{Op: "open", Path: path, Err: err} }
	dir, err := openAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fail(err)
	}
	defer func() { unix.Close(dir) }()
	enter := func(fd int) { unix.Close(dir); dir = fd }
	var links []link
	for rest := strings.Split(absolute(path), "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		at, err := openAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return fail(err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil {
			unix.Close(at)
			return fail(err)
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			var to [unix.PathMax]byte
			n, err := unix.Readlinkat(at, "", to[:])
			unix.Close(at)
			if err == nil && (n == 0 || n == len(to)) {
				err = unix.ENAMETOOLONG
			}
			if links = append(links, link{name, st.Uid}); err == nil && len(links) > maxLinks {
				err = unix.ELOOP
			}
			if err == nil && to[0] == '/' {
				var root int
				if root, err = openAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY); err == nil {
					enter(root)
				}
			}
			if err != nil {
				return fail(err)
			}
			rest = append(strings.Split(string(to[:n]), "/"), rest...)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			enter(at)
		default:
			unix.Close(at)
			if strings.Join(rest, "") != "" {
				return fail(unix.ENOTDIR)
			}
			return openLast(dir, name, path, &st, links)
		}
	}
	f, err := openShared(path) // a directory, which is refused by whoever asked
	return f, err
}

// openLast opens the file itself, which must be the one that st is about.
func openLast(dir int, name, path string, st *unix.Stat_t, links []link) (*os.File, error) {
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f, err := leaveReserve(os.NewFile(uintptr(fd), path))
	if err != nil {
		return nil, err
	}
	var opened unix.Stat_t
	if err := unix.Fstat(fd, &opened); err != nil || opened.Dev != st.Dev || opened.Ino != st.Ino {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, errMoved)
	}
	for _, l := range links {
		if err := mayFollow(l.name, l.owner, opened.Uid); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return f, nil
}

// link is one on the way.
type link struct {
	name  string
	owner uint32
}

func openAt(dir int, name string, flags int) (fd int, err error) {
	for {
		if fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0); err != unix.EINTR {
			return fd, err
		}
	}
}
