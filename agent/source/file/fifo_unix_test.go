//go:build unix

package file

import (
	"os"
	"syscall"
	"testing"
)

func makeFIFO(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPermissionGranted(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	r := newRig(t, "*.log")
	r.append("a.log", "old\n")
	r.must(os.Chmod(r.path("a.log"), 0))
	r.start()
	still()
	if got := r.log.count("permission denied"); got != 1 {
		t.Errorf("%d warnings, want 1", got)
	}
	r.stop()
	r.start() // the place to begin at outlives a restart
	r.must(os.Chmod(r.path("a.log"), 0o644))
	r.append("a.log", "1\n")
	r.want("", "1")
}
