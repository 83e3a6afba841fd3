//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// reserve is how many of the files that the process may have open are left to the rest of the agent: for its socket, the spool and
// the positions.
const reserve = 64

// openShared opens a file for reading. A FIFO does not make it wait. The error is EMFILE as soon as only the reserve is left:
// the system gives out the lowest number that is free.
func openShared(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return leaveReserve(f)
}

// leaveReserve closes a file that takes one of the reserve's numbers.
func leaveReserve(f *os.File) (*os.File, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return f, nil
	}
	most, number := uint64(limit.Cur), uint64(0)
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { number = uint64(fd) })
	}
	if number >= most-min(reserve, most/4) {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: f.Name(), Err: syscall.EMFILE}
	}
	return f, nil
}

// stat follows symbolic links.
func stat(path string) (info, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return info{}, err
	}
	return infoOf(fi)
}

func statFile(f *os.File) (info, error) {
	fi, err := f.Stat()
	if err != nil {
		return info{}, err
	}
	return infoOf(fi)
}

func infoOf(fi fs.FileInfo) (info, error) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return info{}, errors.New("the system gives no inode numbers")
	}
	return info{
		id:    identity{uint64(st.Dev), uint64(st.Ino)},
		size:  fi.Size(),
		mtime: fi.ModTime().UnixNano(),
		mode:  fi.Mode(),
	}, nil
}
