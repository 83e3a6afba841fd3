//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openShared opens a file for reading. A FIFO does not make it wait.
func openShared(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
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
