// Package durable keeps files whole. It replaces a file in one step, on disk before the call returns, and lets one process at a time
// use a state directory.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ReplaceFile puts data in place of the file at path so that a reader, a crash or a power cut finds either the
// old content or the new, never a part. An existing file keeps its mode, owner and group, and stays as it is where
// the process may not give them to the new content; a new file gets perm, and what the superuser makes belongs to the owner and
// group of its directory. The new content is synced before it gets its
// name, and the directory after.
func ReplaceFile(path string, data []byte, perm fs.FileMode) error {
	return ReplaceFileLike(path, path, data, perm)
}

// ReplaceFileLike is ReplaceFile, but that a new file gets the mode, owner and group of the file at like, where there is one;
// others than those have no access to it.
func ReplaceFileLike(path, like string, data []byte, perm fs.FileMode) error {
	if real, e := filepath.EvalSymlinks(path); e == nil {
		path = real // replace what a link points to, not the link
	}
	return replace(path, like, data, perm)
}

// ReplaceFileIn is ReplaceFile in a directory in which others may write: a link, as anything else that is no regular file, is itself
// replaced by the new file.
func ReplaceFileIn(dir, name string, data []byte, perm fs.FileMode) error {
	path := filepath.Join(dir, name)
	return replace(path, path, data, perm)
}

// replace does so with what has the name path, but follows no link there.
func replace(path, like string, data []byte, perm fs.FileMode) (err error) {
	secret := perm&0o077 == 0
	old, statErr := os.Lstat(path)
	if statErr == nil && !old.Mode().IsRegular() {
		statErr = fs.ErrNotExist
	}
	if statErr == nil {
		perm = old.Mode().Perm()
	} else if model, err := os.Stat(like); err == nil && like != path {
		old, statErr = model, nil
		perm = old.Mode().Perm() &^ 0o007
	} else if !errors.Is(statErr, fs.ErrNotExist) {
		return statErr
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if statErr == nil {
		if err := keepOwner(tmp, old); err != nil {
			return fmt.Errorf("%s: keep owner and group: %w; run this as the owner of the file, or as root", path, err)
		}
	}
	if statErr != nil {
		like = ""
		if err := OwnAs(filepath.Dir(path), tmp); err != nil {
			return fmt.Errorf("%s: give it to the owner of its directory: %w", path, err)
		}
	}
	if err := tmp.Chmod(perm); err != nil {
		return err
	}
	if err := keepAccess(tmp, like, secret); err != nil {
		return fmt.Errorf("%s: set who may read it: %w", path, err)
	}
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// CanReplace says why a file at path could not be replaced, as far as that can be told beforehand.
func CanReplace(path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	f, err := os.CreateTemp(filepath.Dir(path), newPattern(path))
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// newPattern names files that are made beside path without its lock. removeStale leaves these alone.
func newPattern(path string) string { return "." + filepath.Base(path) + ".new*" }

// removeStale removes what ReplaceFile left beside path, and beside path.notes, where it was killed. The lock of path is held,
// so that no ReplaceFile is at work there.
func removeStale(path string) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // who writes next will tell
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+base+".")
		number = strings.TrimPrefix(number, "notes.")
		if ours && number != "" && strings.Trim(number, "0123456789") == "" && e.Type().IsRegular() {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// CreateFile puts data in a new file at path (perm, owned as by ReplaceFile) so that it is there whole or not at all. Where there is something
// already, it stays, and the error is fs.ErrExist.
func CreateFile(path string, data []byte, perm fs.FileMode) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), newPattern(path))
	if err != nil {
		return err
	}
	defer func() {
		tmp.Close()
		os.Remove(tmp.Name())
	}()
	if err := OwnAs(filepath.Dir(path), tmp); err != nil {
		return fmt.Errorf("%s: give it to the owner of its directory: %w", path, err)
	}
	if err := tmp.Chmod(perm); err != nil {
		return err
	}
	if err := keepAccess(tmp, "", perm&0o077 == 0); err != nil {
		return fmt.Errorf("%s: set who may read it: %w", path, err)
	}
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil { // the file system has no links
		if _, err := os.Lstat(path); err == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		if err := rename(tmp.Name(), path); err != nil {
			return err
		}
	}
	return SyncDir(filepath.Dir(path))
}
