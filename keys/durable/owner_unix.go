//go:build unix

package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives f the owner and group of old, where they differ from what it has.
func keepOwner(f *os.File, old fs.FileInfo) error {
	want, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := now.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// keepAccess does nothing: a file's mode, owner and group say it all.
func keepAccess(*os.File, string, bool) error { return nil }

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Give hands a file or directory just made in dir to the owner and group of dir, if this process may: what the superuser makes in a
// directory of the stock programs or of another user's daemon, these must be able to use. A link that has taken its place is given, not
// what it points to.
func Give(dir, made string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(made, int(s.Uid), int(s.Gid))
	}
	return nil
}

// OpenToGroup gives a socket just made the group of its directory, as far as we may, and the mode 0660. A link out of the directory that has
// taken its place is an error: others may write there.
func OpenToGroup(path string) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Stat("."); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			root.Lchown(filepath.Base(path), -1, int(s.Gid)) // who runs as that group needs no more
		}
	}
	return root.Chmod(filepath.Base(path), 0o660)
}

// OwnAs is Give for an open file.
func OwnAs(dir string, made *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return keepOwner(made, info)
}
