package durable

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	l, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockDir(dir)
	if want := fmt.Sprintf("process %d", os.Getpid()); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("held: got %v, want %v by %s", err, ErrLocked, want)
	}
	// Whatever stands in the holder's file, the error is fit for a terminal.
	for _, text := range []string{"", "x", "1 \x1b[2J\n", strings.Repeat("9", 1<<16)} {
		if err := os.WriteFile(filepath.Join(dir, "lock.holder"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LockDir(dir); !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 1000 {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
	l.Unlock()
	again, err := LockDir(dir)
	if err != nil {
		t.Fatalf("let go: %v", err)
	}
	again.Unlock()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LockDir(file); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a file: got %v", err)
	}
}

// lockerEnv tells the test binary to be a process that holds this directory.
const lockerEnv = "OSSECD_TEST_LOCKER"

// TestLockDirKilled kills the process that holds a directory: the next one gets it.
func TestLockDirKilled(t *testing.T) {
	if dir := os.Getenv(lockerEnv); dir != "" {
		l, err := LockDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("\nheld")
		for { // a lock that nobody holds on to is closed by the garbage collector
			time.Sleep(time.Minute)
			runtime.KeepAlive(l)
		}
	}
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockDirKilled$")
	cmd.Env = append(os.Environ(), lockerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	held := false
	for lines := bufio.NewScanner(out); !held && lines.Scan(); {
		held = lines.Text() == "held"
	}
	_, err = LockDir(dir)
	if want := fmt.Sprintf("process %d", cmd.Process.Pid); !held || !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("held %v: got %v, want %v by %s", held, err, ErrLocked, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	l, err := LockDir(dir)
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	l.Unlock()
}

// A process that was killed while it replaced a file leaves a part beside it, which has secrets as the file has. Whoever
// takes the lock next removes it, and nothing else.
func TestLockFileTidies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "client.keys")
	stale := []string{".client.keys.12345", ".client.keys.notes.678"}
	stay := []string{"client.keys", "client.keys.1", ".client.keys.bak", ".client.keys.", ".client.keys.new9", ".client.keys.notes", ".other.keys.1", ".client.keysx.1"}
	for _, name := range append(stale, stay...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".client.keys.7"), 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, name := range stale {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	for _, name := range append(stay, ".client.keys.7") {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
