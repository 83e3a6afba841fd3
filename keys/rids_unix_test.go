//go:build unix

package keys

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestRidsPipe: a pipe in the directory does not hold up a start.
func TestRidsPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "001"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ReadRids(dir, "001"); ok || err == nil {
		t.Errorf("ReadRids of a pipe = %v, %v; want an error", ok, err)
	}
}
