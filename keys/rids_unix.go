//go:build unix

package keys

import (
	"os"
	"syscall"
)

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
