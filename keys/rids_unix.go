//go:build unix

package keys

import (
	"os"
	"path/filepath"
	"syscall"
)

// openRidsFile opens a counter file for reading; it follows no link and waits for no pipe.
func openRidsFile(dir, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
