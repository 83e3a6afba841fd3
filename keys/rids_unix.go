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

// ownAs gives a file or directory just made the owner and group of dir, if this process may: what the superuser
// makes in a directory of the stock programs or of the manager, these must be able to use.
func ownAs(dir string, made *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return made.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}
