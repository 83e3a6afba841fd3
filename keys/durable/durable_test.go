package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, text := range []string{"first", "", "a longer one"} {
		if err := ReplaceFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestReplaceFileModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	t.Parallel()
	for _, mode := range []fs.FileMode{0o400, 0o440, 0o600, 0o640, 0o664} {
		path := filepath.Join(t.TempDir(), "file")
		for _, perm := range []fs.FileMode{mode, 0o777} { // the second time it has a mode already
			if err := ReplaceFile(path, []byte("x"), perm); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("got %v, %v, want %o", info.Mode(), err, mode)
			}
		}
	}
}

func TestReplaceFileLink(t *testing.T) {
	t.Parallel()
	path, link := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Skip("no links here:", err)
	}
	if err := ReplaceFile(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("behind the link: %q, %v", got, err)
	}
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link became %q, %v", to, err)
	}
}

func TestReplaceFileFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := ReplaceFile(filepath.Join(dir, "no", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
	}
	taken := filepath.Join(dir, "taken")
	if err := os.Mkdir(taken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(taken, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestReplaceFileWhole reads while the file is replaced by ones of other lengths.
func TestReplaceFileWhole(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows may refuse to open a file that is being replaced")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	text := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n%26)}, 1+n%7*5000) }
	if err := ReplaceFile(path, text(0), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		var err error
		for n := 1; n < 200 && err == nil; n++ {
			err = ReplaceFile(path, text(n), 0o600)
		}
		done <- err
	}()
	for {
		got, err := os.ReadFile(path)
		if err != nil || len(got) == 0 || len(got)%5000 != 1 || bytes.Count(got, got[:1]) != len(got) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

func TestCreateFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := CreateFile(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CreateFile(path, []byte("second"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("there already: got %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := CreateFile(filepath.Join(dir, "no", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err == nil {
		if err := CreateFile(link, nil, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a link to nowhere: got %v", err)
		}
	}
	os.Remove(link)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
