package control

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The socket of a manager that runs is not taken from it by another one; one that is left behind is replaced, and nothing else is.
func TestSocketTaken(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "o") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := Config{Path: filepath.Join(dir, "control.sock"), Log: slog.New(slog.DiscardHandler)}
	first, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("beside the first: %v", err)
	}
	if info, err := os.Stat(cfg.Path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	first.Close()
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.WriteFile(cfg.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("in place of a file: %v", err)
	}
}
