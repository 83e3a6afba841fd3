//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReplaceFileOwner needs root to make a file that is somebody else's; any other user keeps a file its own.
func TestReplaceFileOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 4711, 4712
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := ReplaceFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	got := info.Sys().(*syscall.Stat_t)
	if int(got.Uid) != uid || int(got.Gid) != gid || info.Mode().Perm() != 0o640 {
		t.Errorf("got %d:%d %v, want %d:%d 0640", got.Uid, got.Gid, info.Mode(), uid, gid)
	}
}

// What root makes in the directory of another user's daemon that daemon can read. It needs root to tell.
func TestNewFileOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 4711, 4712
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"replaced": ReplaceFile, "created": CreateFile} {
		path := filepath.Join(dir, name)
		if err := write(path, []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		got := info.Sys().(*syscall.Stat_t)
		if int(got.Uid) != uid || int(got.Gid) != gid || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %d:%d %v, want %d:%d 0600", name, got.Uid, got.Gid, info.Mode(), uid, gid)
		}
	}
}

// A lock that root makes beside another user's file is that user's, who could not lock the file otherwise. It needs root to tell.
func TestLockFileOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 4711, 4712
	}
	lock := func(of string) {
		t.Helper()
		unlock, err := LockFile(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	owner := func(name string, uid, gid int) {
		t.Helper()
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		got := info.Sys().(*syscall.Stat_t)
		if int(got.Uid) != uid || int(got.Gid) != gid {
			t.Errorf("%s: got %d:%d, want %d:%d", filepath.Base(name), got.Uid, got.Gid, uid, gid)
		}
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	lock(path)
	owner(path+".lock", uid, gid)

	// Where there is no file yet, it is the directory that tells.
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	lock(filepath.Join(dir, "none"))
	owner(filepath.Join(dir, "none.lock"), uid, gid)

	// What is there already, or behind a link, is given to nobody.
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "linked.lock")); err != nil {
		t.Fatal(err)
	}
	lock(filepath.Join(dir, "linked"))
	owner(other, os.Getuid(), os.Getgid())
}

// A link that has taken the place of a socket or file just made does not have its target changed.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	if err := os.Symlink(secret, path); err != nil {
		t.Fatal(err)
	}
	if err := OpenToGroup(path); err == nil {
		t.Error("a link was taken for a socket")
	}
	os.Chown(dir, 1234, 1234) // where we may
	if err := Give(dir, path); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || info.Mode().Perm() != 0o600 || int(s.Uid) != os.Geteuid() {
		t.Errorf("%v of %d", info.Mode(), s.Uid)
	}
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := OpenToGroup(path); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Only regular files in the directory are read, and not longer ones than asked for; a pipe is not waited for.
func TestReadIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+".outside", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink(dir+".outside", filepath.Join(dir, "link")), os.Symlink("file", filepath.Join(dir, "inside"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "inside"} {
		if b, err := ReadIn(dir, name, 4); err != nil || string(b) != "text" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, name := range []string{"pipe", "link", ".", "../" + filepath.Base(dir) + ".outside", "none"} {
		if b, err := ReadIn(dir, name, 4); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
	if _, err := ReadIn(dir, "file", 3); err == nil {
		t.Error("a file that is too long")
	}
	if _, err := ReadIn(dir, "none", 3); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// In a directory where others may write, a link is replaced and not followed; a file keeps its mode.
func TestReplaceFileIn(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.WriteFile(outside, []byte("untouched"), 0o600), os.Symlink(outside, filepath.Join(dir, "link")), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), os.Chmod(filepath.Join(dir, "file"), 0o604)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"link": 0o640, "new": 0o640, "file": 0o604} {
		if err := ReplaceFileIn(dir, name, []byte("text"), 0o640); err != nil {
			t.Error(err)
		}
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "untouched" {
		t.Errorf("%q, %v", b, err)
	}
}
