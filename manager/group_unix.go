//go:build unix

package manager

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// openToGroup gives a socket or file of ours the group of its directory, as far as we may, and the mode 0660.
func openToGroup(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			os.Lchown(path, -1, int(s.Gid)) // who runs as that group needs no more
		}
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return fmt.Errorf("%w; make the directory writable for this user", err)
	}
	return nil
}
