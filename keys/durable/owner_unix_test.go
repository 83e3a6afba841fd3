//go:build unix

package durable

import (
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
