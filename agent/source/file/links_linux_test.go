package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A directory that is swapped for a link and back, all the time, never leads to what its owner could not read.
func TestSwappedDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("gives files away")
	}
	const user = 4711
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	logs, by, secrets := filepath.Join(root, "logs"), filepath.Join(root, "by"), filepath.Join(root, "secrets")
	for _, dir := range []string{logs, secrets} {
		must(os.Mkdir(dir, 0o755))
		must(os.WriteFile(filepath.Join(dir, "a.log"), []byte("of "+dir), 0o600))
	}
	must(os.Chown(logs, user, user))
	must(os.Chown(filepath.Join(logs, "a.log"), user, user))
	must(os.Symlink(secrets, by))
	must(os.Lchown(by, user, user))
	secret, err := stat(filepath.Join(secrets, "a.log"))
	must(err)

	var swapping sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		swapping.Go(func() {
			for !stop.Load() {
				if err := unix.Renameat2(unix.AT_FDCWD, logs, unix.AT_FDCWD, by, unix.RENAME_EXCHANGE); errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
					stop.Store(true)
				}
			}
		})
	}
	opened, refused := 0, 0
	for end := time.Now().Add(time.Second); time.Now().Before(end) && !stop.Load(); {
		tail, err := openTail(filepath.Join(logs, "a.log"))
		if err != nil {
			if refused++; !errors.Is(err, errLink) && !errors.Is(err, errMoved) {
				t.Fatal(err)
			}
			continue
		}
		if opened++; tail.id == secret.id {
			t.Errorf("the secret was opened, after %d times that it was not", opened)
			stop.Store(true)
		}
		tail.close()
	}
	supported := !stop.Swap(true)
	swapping.Wait()
	if supported && (opened == 0 || refused == 0) {
		t.Errorf("opened %d times, refused %d times: this shows nothing", opened, refused)
	}
}

// Errors are those of the system.
func TestOpenFollowedErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, to := range map[string]string{"loop": "loop", "gone": "nowhere", "through": "file/x", "up": "../" + filepath.Base(dir) + "/./file"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"loop": unix.ELOOP, "gone": fs.ErrNotExist, "through": unix.ENOTDIR, "none": fs.ErrNotExist, "file/x": unix.ENOTDIR, "up": nil, "file": nil} {
		f, err := openFollowed(filepath.Join(dir, name))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
}
