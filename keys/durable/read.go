package durable

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// ReadIn reads the file of a name in a directory in which others may write. A link out of the directory is an error; so is what is no
// regular file, such as a pipe, for whose writer it does not wait; and one of more than most bytes.
func ReadIn(dir, name string, most int) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; remove it", filepath.Join(dir, name))
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s has more than %d bytes; make it shorter", filepath.Join(dir, name), most)
	}
	return data, err
}
