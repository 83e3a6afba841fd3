package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrLocked says that another process holds the lock; the error around it names that process.
var ErrLocked = errors.New("in use")

// Lock is a directory held by this process. The system lets go of it when the process ends in whatever way.
type Lock struct {
	file   *flock.Flock
	holder string
}

// LockDir takes the directory for this process, making it (0700) where it is missing. Where another process
// holds it, the error wraps ErrLocked and names the process.
func LockDir(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w; name one that this user can make or write, or free space", err)
	}
	l := &Lock{file: flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600)), holder: filepath.Join(dir, "lock.holder")}
	got, err := l.file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w; make the directory writable for this user", dir, err)
	}
	if !got {
		return nil, fmt.Errorf("%s is %w by %s; stop it first, or give this one a state directory of its own", dir, ErrLocked, l.holderText())
	}
	text := fmt.Sprintf("%d %s\n", os.Getpid(), filepath.Base(os.Args[0]))
	if err := os.WriteFile(l.holder, []byte(text), 0o600); err != nil {
		l.Unlock()
		return nil, fmt.Errorf("lock %s: %w; free space, or make the directory writable for this user", dir, err)
	}
	return l, nil
}

func (l *Lock) holderText() string {
	b, _ := os.ReadFile(l.holder)
	pid, name, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if n, err := strconv.Atoi(pid); err == nil {
		return fmt.Sprintf("process %d (%.32q)", n, name)
	}
	return "another process"
}

// Unlock lets go of the directory.
func (l *Lock) Unlock() {
	os.Remove(l.holder)
	l.file.Unlock()
}

// lockEvery is how often a lock that another process holds is tried again.
const lockEvery = 20 * time.Millisecond

// LockFile waits until nobody else holds the lock of the file at path, which need not be there, or until ctx ends. The
// lock is a file beside it, path.lock, which stays. Temporary files of a ReplaceFile of it that was killed are removed.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // one lock, whatever name the file is called by
	}
	makeLock(path)
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockEvery); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("gave up waiting for %s.lock, which another process holds", path)
		}
		return nil, fmt.Errorf("lock %s.lock: %w; the directory must exist and be writable, and the lock belong to the owner of the file: remove it if it does not", path, err)
	}
	removeStale(path)
	return func() { lock.Unlock() }, nil
}

// makeLock makes the lock of the file at path if it is missing. It belongs to the owner of the file, or of its directory where there
// is no file yet: one that root makes must not keep out a daemon that runs as another user. Only a lock that is made here is
// given away, never what stood there. What goes wrong shows when the lock is taken.
func makeLock(path string) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	defer lock.Close()
	like, err := os.Stat(path)
	if err != nil {
		like, err = os.Stat(filepath.Dir(path))
	}
	if err == nil {
		keepOwner(lock, like)
	}
}
