package file

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestNewFaults(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Globs: []string{"[", ""}, MaxEvent: 10})
	for _, want := range []string{`glob "["`, "empty path", "positions file", "10 bytes", "logger"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v; want %q in it", err, want)
		}
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.append("a.log", "old\n")
	r.start()
	r.append("a.log", "one\ntwo\r\n\n\x00\xff\n")
	r.want(r.path("a.log"), "one", "two", "", "\x00\xff")
}

func (r *rig) want(location string, lines ...string) {
	r.t.Helper()
	r.got.want(r.t, location, lines...)
}

func TestFromStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.FromStart = true
	r.append("a.log", "one\ntwo\nrest")
	r.start()
	r.want(r.path("a.log"), "one", "two")
}

func TestBeginsAtUnfinishedLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.append("a.log", "old\nhalf ")
	r.start()
	r.append("a.log", "line\n")
	r.want("", "half line")
}

func TestPartialLineWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.append("a.log", "")
	r.start()
	r.append("a.log", "he")
	still()
	r.append("a.log", "llo")
	still()
	r.want("")
	r.append("a.log", "\nnext")
	r.want("", "hello")
}

func TestFinishSendsRest(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.FromStart, r.cfg.Finish = true, true
	r.append("a.log", "one\nrest")
	r.append("b.log", "")
	r.start() // idle only once the rest was sent
	r.mu.Lock()
	n := len(r.events)
	r.mu.Unlock()
	if n != 2 {
		t.Errorf("idle after %d events, want 2", n)
	}
	r.want("", "one", "rest")
}

func TestIdleWithoutFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "none/*.log")
	r.start()
}

func TestNewFilesAndDirectories(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log", "sub/*/x.log", "later.txt")
	r.start()
	r.append("new.log", "1\n")
	r.append("other.txt", "no\n")
	r.want(r.path("new.log"), "1") // there is no order among files
	r.append("later.txt", "2\n")
	r.want(r.path("later.txt"), "2")
	r.must(os.MkdirAll(r.path("sub/deep"), 0o755))
	r.append("sub/deep/x.log", "3\n")
	r.want(r.path("sub/deep/x.log"), "3")
	r.must(os.RemoveAll(r.path("sub")))
	r.log.wait(t, "file is gone")
	r.must(os.MkdirAll(r.path("sub/deep"), 0o755))
	r.append("sub/deep/x.log", "4\n")
	r.want(r.path("sub/deep/x.log"), "3", "4")
	r.want("", "1", "2", "3", "4")
}

func TestRelativePath(t *testing.T) {
	wd := t.TempDir()
	t.Chdir(wd)
	r := newRig(t)
	r.dir = wd
	r.cfg.Globs = []string{"./a*.log"}
	r.start()
	r.append("a.log", "1\n")
	r.want("a.log", "1")
	r.stop()
	r.append("a.log", "2\n")
	r.start()
	r.want("a.log", "1", "2")
}

func TestRenameRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log")
	r.append("app.log", "old\n")
	r.start()
	f, err := os.OpenFile(r.path("app.log"), os.O_APPEND|os.O_WRONLY, 0)
	r.must(err)
	defer f.Close()
	r.append("app.log", "1\n")
	r.rename("app.log", "app.log.1")
	fmt.Fprint(f, "2\n3 unfinished")
	r.append("app.log", "4\n")
	r.want(r.path("app.log"), "1", "2", "3 unfinished", "4")
	r.log.wait(t, "file rotated")
}

func TestRotatedNameInGlobIsNotReadTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log*")
	r.cfg.FromStart = true
	r.append("app.log", "1\n")
	r.append("app.log.1", "0\n")
	r.start()
	for i := 2; i < 5; i++ {
		r.rename("app.log.1", "app.log.2")
		r.rename("app.log", "app.log.1")
		r.append("app.log", fmt.Sprintln(i))
		r.wait(t, "new line", func() bool { return len(r.events) == i+1 })
		r.log.waitFor(t, "under its new name", 2*(i-1))
	}
	r.append("app.log.2", "late\n")
	r.want(r.path("app.log.2"), "late")
	r.want(r.path("app.log"), "1", "2", "3", "4")
	r.stop()
	r.rename("app.log.1", "app.log.3")
	r.append("app.log", "5\n")
	r.rename("app.log", "app.log.1")
	r.append("app.log", "6\n")
	r.start()
	r.want(r.path("app.log"), "1", "2", "3", "4", "5", "6")
	r.wait(t, "all", func() bool { return len(r.events) == 8 })
}

func TestCopyTruncate(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "1\n2\n")
	r.want("", "1", "2")
	r.must(os.Truncate(r.path("app.log"), 0))
	r.append("app.log", "3\n")
	r.want("", "1", "2", "3")
	r.log.wait(t, "truncated")
	// Grown past the old offset between two looks: only the fingerprint tells.
	r.stop()
	r.must(os.Truncate(r.path("app.log"), 0))
	r.append("app.log", "a longer line\n")
	r.start()
	r.want("", "1", "2", "3", "a longer line")
}

func TestDeleteAndCreate(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "1\nrest")
	r.must(os.Remove(r.path("app.log")))
	r.want("", "1", "rest")
	r.log.wait(t, "file is gone")
	r.append("app.log", "2\n")
	r.want("", "1", "rest", "2")
	r.must(os.Remove(r.path("app.log")))
	r.append("app.log", "3\n")
	r.want("", "1", "rest", "2", "3")
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.append("a.log", "")
	r.start()
	line := strings.Repeat("0123456789abcde\xc3\xa9", 20000)
	r.append("a.log", line)
	r.wait(t, "pieces", func() bool { return len(r.events) > 50 })
	r.stop()
	r.append("a.log", "end\nnext\n")
	r.start()
	r.wait(t, "end", func() bool { return r.events[len(r.events)-1].text == "next" })
	l := r.lines("")
	room := r.cfg.MaxEvent - len("1::") - len(r.path("a.log"))
	if joined := join(t, l[:len(l)-1], room); joined != line+"end" {
		t.Errorf("the pieces make %d bytes, want %d", len(joined), len(line)+3)
	}
}

func TestRotatedWhileDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log")
	r.append("app.log", "")
	r.start()
	r.append("app.log", "1\n")
	r.want("", "1")
	r.stop()
	r.append("app.log", "2\n")
	r.rename("app.log", "app.log.1")
	r.append("app.log", "3\n")
	r.start()
	r.want(r.path("app.log"), "1", "2", "3")
	r.stop()
	// Killed before the rotated one was let go: both are known, and neither is repeated.
	r.append("app.log", "4\n")
	r.start()
	r.want("", "1", "2", "3", "4")
	r.stop()
	// Nowhere to be found.
	r.must(os.Remove(r.path("app.log")))
	r.append("other", "keeps the inode")
	r.append("app.log", "5\n")
	r.start()
	r.want("", "1", "2", "3", "4", "5")
	if r.log.count("may be missing") != 1 {
		t.Error("no word of what may be missing")
	}
}

func TestRotatedTwiceWhileDown(t *testing.T) {
	t.Parallel()
	for _, globs := range [][]string{{"app.log"}, {"app.log*"}} {
		r := newRig(t, globs...)
		r.append("app.log", "older\n")
		r.start()
		r.append("app.log", "1\n")
		r.rename("app.log", "app.log.1")
		r.append("app.log", "2\n")
		r.want("", "1", "2")
		r.log.waitFor(t, "file rotated", 1)
		time.Sleep(20 * time.Millisecond) // file times count in steps
		r.stop()
		for i := 3; i < 6; i++ {
			r.append("app.log", fmt.Sprintln(i))
			time.Sleep(20 * time.Millisecond)
			for n := i - 1; n > 0; n-- {
				if _, err := os.Stat(r.path(fmt.Sprint("app.log.", n))); err == nil {
					r.rename(fmt.Sprint("app.log.", n), fmt.Sprint("app.log.", n+1))
				}
			}
			r.rename("app.log", "app.log.1")
		}
		r.append("app.log", "6\n")
		r.start()
		still()
		r.want(r.path("app.log"), "1", "2", "3", "4", "5", "6")
		r.want("", "1", "2", "3", "4", "5", "6")
		r.stop()
	}
}

func TestCreatedWhileDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.append("a.log", "old\n")
	r.start()
	r.stop()
	r.append("b.log", "1\n")
	r.append("c.txt", "old\n")
	r.cfg.Globs = append(r.cfg.Globs, r.path("*.txt")) // a glob not saved: met at its end
	r.start()
	r.append("c.txt", "2\n")
	r.want("", "1", "2")
}

func TestKnownFromFirstStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.append("a.log", "old\n")
	r.gate = make(chan struct{}) // offline from the beginning, then killed
	r.start()
	b, err := os.ReadFile(r.cfg.Positions)
	r.must(err)
	r.append("a.log", "1\n")
	r.stop()
	r.must(os.WriteFile(r.cfg.Positions, b, 0o600))
	r.gate = nil
	r.start()
	r.want("", "1")
}

func TestCorruptPositions(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"version":9}`, `{"version":1,"files":[{"path":"/x","offset":-1}]}`, "null\n1"} {
		r := newRig(t, "a.log")
		r.append("a.log", "1\n")
		r.must(os.WriteFile(r.cfg.Positions, []byte(text), 0o600))
		r.start()
		r.want("", "1")
		r.log.wait(t, "damaged")
		if b, err := os.ReadFile(r.cfg.Positions + ".bad"); err != nil || string(b) != text {
			t.Errorf("kept aside: %q, %v; want %q", b, err, text)
		}
		r.stop()
	}
}

func TestPositionsNotReadable(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Globs: []string{"x"}, Positions: t.TempDir(), MaxEvent: 6016, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), newGot()); err == nil || !strings.Contains(err.Error(), "positions") {
		t.Errorf("Run: %v, want an error about the positions", err)
	}
}

func TestSaveFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	state := filepath.Join(t.TempDir(), "state")
	r.cfg.Positions = filepath.Join(state, "positions.json")
	r.append("a.log", "")
	r.start()
	r.append("a.log", "1\n")
	r.want("", "1")
	still()
	if n := r.log.count("cannot be saved"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	r.must(os.Mkdir(state, 0o700))
	r.stop()
	r.append("a.log", "2\n")
	r.start()
	r.want("", "1", "2")
}

func TestOfflineRotations(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log")
	r.append("app.log", "")
	r.start()
	gate := make(chan struct{})
	r.mu.Lock()
	r.gate = gate
	r.mu.Unlock()
	var want []string
	for i := range 5 {
		line := fmt.Sprint("generation ", i)
		want = append(want, line)
		r.append("app.log", line+"\n")
		still()
		r.must(os.Remove(r.path("app.log")))
		r.append("app.log", "")
		still()
	}
	r.want("")
	close(gate)
	r.want("", want...)
}

func TestNotRegular(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("makes links and FIFOs")
	}
	r := newRig(t, "*.log", "loop", "dir")
	makeFIFO(t, r.path("fifo.log"))
	r.must(os.Symlink(r.path("loop"), r.path("loop")))
	r.must(os.Mkdir(r.path("dir"), 0o755))
	r.append("a.log", "")
	r.start()
	r.append("a.log", "1\n")
	r.want("", "1")
	still()
	still()
	if got := r.log.count("not a regular file"); got != 2 {
		t.Errorf("FIFO and directory: %d warnings, want 2", got)
	}
	if got := r.log.count("level=ERROR"); got != 1 {
		t.Errorf("symlink loop: %d errors, want 1", got)
	}
	r.must(os.Remove(r.path("fifo.log")))
	r.append("fifo.log", "2\n")
	r.want("", "1", "2")
}

func TestSymlink(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("makes links")
	}
	r := newRig(t, "link.log")
	r.pace.poll = time.Hour // only events may tell
	r.must(os.MkdirAll(r.path("real"), 0o755))
	r.append("real/1", "old\n")
	r.must(os.Symlink(r.path("real/1"), r.path("link.log")))
	r.start()
	r.append("real/1", "1\n")
	r.want(r.path("link.log"), "1")
	r.append("real/2", "2\n")
	r.must(os.Symlink(r.path("real/2"), r.path("tmp")))
	r.rename("tmp", "link.log")
	r.want(r.path("link.log"), "1", "2")
	r.append("real/2", "3\n")
	r.want(r.path("link.log"), "1", "2", "3")
}

func TestHardLinkIsReadOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.append("a.log", "1\n")
	r.must(os.Link(r.path("a.log"), r.path("b.log")))
	r.cfg.FromStart = true
	r.start()
	still()
	r.want("", "1")
	r.must(os.Remove(r.path("a.log")))
	r.log.wait(t, "under its new name")
	r.append("b.log", "2\n")
	r.want(r.path("b.log"), "2")
	r.want("", "1", "2")
}

func TestPathTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, strings.Repeat("x", 200)+"/"+strings.Repeat("y", 200))
	r.must(os.Mkdir(filepath.Dir(r.cfg.Globs[0]), 0o755))
	r.must(os.WriteFile(r.cfg.Globs[0], []byte("1\n"), 0o644))
	r.cfg.MaxEvent = minEvent
	r.start()
	r.log.wait(t, "no room")
}

func TestEmitFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.cfg.FromStart = true
	r.append("a.log", "1\n")
	s, err := New(r.cfg)
	r.must(err)
	if err := s.Run(t.Context(), refusing{r.got}); !errors.Is(err, errRefused) {
		t.Errorf("Run: %v, want %v", err, errRefused)
	}
}
