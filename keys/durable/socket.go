package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// RemoveSocket removes a socket that an earlier process left behind, and nothing else.
func RemoveSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = fmt.Errorf("%s exists and is not a socket; remove it, or name another place", path)
	}
	if err == nil {
		err = os.Remove(path)
	}
	return err
}
