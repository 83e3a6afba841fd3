package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a store under watch, in a bubble of synctest: the file's times are those of the bubble.
type watched struct {
	t     *testing.T
	path  string
	store *Store
	mu    sync.Mutex
	log   bytes.Buffer
	got   []string // the IDs of each new set
}

// Write takes what the store logs.
func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

// changed takes a new set.
func (w *watched) changed(s *Set) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, ids(s))
}

// watch runs test with a store on a file of that text, or on none where the text is empty.
func watch(t *testing.T, text string, test func(*watched)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, path: filepath.Join(t.TempDir(), "client.keys")}
		if text != "" {
			w.write(text)
		}
		var err error
		if w.store, err = OpenStore(w.path, slog.New(slog.NewTextHandler(w, nil))); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.store.Watch(ctx, w.changed)
		}()
		test(w)
		cancel()
		<-done
	})
}

func (w *watched) write(text string) {
	w.t.Helper()
	if err := errors.Join(os.WriteFile(w.path, []byte(text), 0o600), os.Chtimes(w.path, time.Time{}, time.Now())); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want holds the sets that changed was called with against want, in force the last.
func (w *watched) want(inForce string, got ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if fmt.Sprint(w.got) != fmt.Sprint(got) {
		w.t.Fatalf("got the new sets %q, want %q", w.got, got)
	}
	if now := ids(w.store.Load()); now != inForce {
		w.t.Fatalf("in force: %q, want %q", now, inForce)
	}
}

func (w *watched) logged(text string, times int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := strings.Count(w.log.String(), text); n != times {
		w.t.Errorf("%q was logged %d times, want %d:\n%s", text, n, times, w.log.String())
	}
	if strings.Contains(w.log.String(), testSecret) {
		w.t.Error("the log has a secret")
	}
}

const (
	one   = "001 web01 any " + testSecret + "\n"
	two   = "002 web02 any " + testSecret + "\n"
	three = "003 web03 any " + testSecret + "\n"
)

func TestWatchChange(t *testing.T) {
	watch(t, one, func(w *watched) {
		w.pass(time.Minute)
		w.want("001")
		w.write(one + two)
		w.pass(2 * time.Second)
		w.want("001 002", "001 002")
		w.write(two)
		w.pass(2 * time.Second)
		w.want("002", "001 002", "002")
		w.write("")
		w.pass(2 * time.Second)
		w.want("", "001 002", "002", "")
		w.logged("level", 0)
	})
}

func TestWatchSameTimeAndSize(t *testing.T) {
	watch(t, one, func(w *watched) {
		other := filepath.Join(filepath.Dir(w.path), "other")
		at := time.Now()
		if err := errors.Join(os.WriteFile(other, []byte(two), 0o600), os.Chtimes(other, time.Time{}, at), os.Rename(other, w.path)); err != nil {
			w.t.Fatal(err)
		}
		w.pass(2 * time.Second)
		w.want("002", "002") // another file, though it looks the same
	})
}

func TestWatchHalfWritten(t *testing.T) {
	watch(t, one, func(w *watched) {
		text := one + two + three
		for at := 5; at < len(text); at += 20 { // written by and by: it never holds still for a poll
			w.write(text[:at])
			w.pass(pollEvery - 50*time.Millisecond)
			w.want("001")
		}
		w.write(text)
		w.pass(2 * time.Second)
		w.want("001 002 003", "001 002 003")
		w.logged("level", 0)
	})
}

func TestWatchVanished(t *testing.T) {
	watch(t, one, func(w *watched) {
		for range 2 {
			if err := os.Remove(w.path); err != nil {
				w.t.Fatal(err)
			}
			w.pass(time.Minute)
			w.want("001")
			w.write(one)
			w.pass(2 * time.Second)
			w.want("001")
		}
		w.logged("cannot be used", 2)
		w.logged("can be used again", 2)
		w.logged("level", 4)
	})
}

func TestWatchUnreadable(t *testing.T) {
	watch(t, one, func(w *watched) {
		aside := w.path + ".aside"
		if err := errors.Join(os.Rename(w.path, aside), os.Mkdir(w.path, 0o700)); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Minute)
		w.want("001")
		w.logged("cannot be used", 1)
		// What comes back is as old and as long as what was there before.
		if err := errors.Join(os.Remove(w.path), os.Rename(aside, w.path)); err != nil {
			w.t.Fatal(err)
		}
		w.pass(2 * time.Second)
		w.want("001")
		w.logged("can be used again", 1)
		w.logged("level", 2)
	})
}

// TestWatchReadableAgain ends the trouble by a chmod alone, which changes neither time nor size. Root can read the file
// all the while and only takes it up sooner.
func TestWatchReadableAgain(t *testing.T) {
	watch(t, one, func(w *watched) {
		w.write(one + two)
		if err := os.Chmod(w.path, 0); err != nil {
			w.t.Fatal(err)
		}
		w.pass(2 * time.Second)
		if err := os.Chmod(w.path, 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.pass(2 * time.Second)
		w.want("001 002", "001 002")
	})
}

func TestWatchAbsentAtFirst(t *testing.T) {
	watch(t, "", func(w *watched) {
		w.pass(time.Minute)
		w.want("")
		w.write(one)
		w.pass(2 * time.Second)
		w.want("001", "001")
		w.logged("level", 0)
	})
}

func TestWatchFaultyLine(t *testing.T) {
	watch(t, one+two+three, func(w *watched) {
		w.write("001 web01 any\n" + two + "003 web03 10.0.0.300 " + testSecret + "\n")
		w.pass(time.Minute)
		w.want("002 001 003", "002 001 003") // the faulty ones keep what they had
		w.logged("fault in the keys file", 2)
		w.logged("client.keys:1: ", 1)
		w.logged("client.keys:3: ", 1)
		w.write("001 web01 any\n001 #*#*#\n" + two + "003 web03 any other\n")
		w.pass(2 * time.Second)
		w.want("002 003", "002 001 003", "002 003") // a removed one is not kept
		if k, _ := w.store.Load().ByID("003"); k.Secret != "other" {
			t.Error("003 still has its old key")
		}
	})
}

func TestWatchFaultyLineOfTakenAddress(t *testing.T) {
	watch(t, "001 web01 10.0.0.1 a\n002 web02 10.0.0.2 b\n", func(w *watched) {
		w.pass(time.Minute)
		w.write("001 web01 10.0.0.2 a\n002 web02 10.0.0.2 b\n")
		w.pass(2 * time.Second)
		w.want("001", "001") // 002 would share its address with 001
	})
}

func TestWatchNothingButFaults(t *testing.T) {
	watch(t, one, func(w *watched) {
		w.write(strings.Repeat("what is this\n", 1000))
		w.pass(time.Minute)
		w.want("001")
		w.logged("fault in the keys file", faultsShown)
		w.logged("more faults", 1)
		w.logged("count=980", 1)
		w.logged("cannot be used", 1)
		w.write(two)
		w.pass(2 * time.Second)
		w.want("002", "002")
		w.logged("can be used again", 1)
	})
}

// TestWatchTooLarge: what is no keys file at all is read once for each change, not with every poll.
func TestWatchTooLarge(t *testing.T) {
	watch(t, one, func(w *watched) {
		if err := errors.Join(os.Truncate(w.path, maxFile+1), os.Chtimes(w.path, time.Time{}, time.Now())); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Second)
		w.want("001")
		w.logged("cannot be used", 1)
		if s := w.store; !same(s.seen, s.stat()) {
			t.Error("the file will be read again though it did not change")
		}
		w.write(two)
		w.pass(2 * time.Second)
		w.want("002", "002")
		w.logged("can be used again", 1)
	})
}

func TestWatchKick(t *testing.T) {
	watch(t, one, func(w *watched) {
		w.write(two)
		w.store.Kick()
		w.store.Kick() // does not block
		synctest.Wait()
		w.want("002", "002") // though no time went by
		w.pass(time.Minute)
		w.want("002", "002")
	})
}

func TestOpenStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	faulty := filepath.Join(dir, "faulty")
	if err := os.WriteFile(faulty, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, faulty} {
		if s, err := OpenStore(path, log); err == nil {
			t.Errorf("%s: got %v", path, s.Load())
		}
	}
	s, err := OpenStore(filepath.Join(dir, "missing"), log)
	if err != nil || s.Load() == nil || len(s.Load().Keys) != 0 {
		t.Fatalf("missing: got %v, %v", s, err)
	}
	if changed, err := s.Reload(); changed || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing, read again: got %v, %v", changed, err)
	}
}
