package file

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A path that exists as it stands is that file, whatever a pattern would make of it: found at the start, found when it comes, and
// left out where it is to be.
func TestNamesWithBrackets(t *testing.T) {
	t.Parallel()
	r := newRig(t, "br[1].log", "late[2].log", "dir[3]/*.log")
	r.cfg.FromStart = true
	r.cfg.Exclude = []string{r.path("dir[3]/no[4].log")}
	r.must(os.Mkdir(r.path("dir[3]"), 0o755))
	r.append("br[1].log", "one\n")
	r.append("dir[3]/a.log", "two\n")
	r.append("dir[3]/no[4].log", "none\n")
	r.start()
	r.want(r.path("br[1].log"), "one")
	r.want(r.path("dir[3]/a.log"), "two")
	r.append("late[2].log", "three\n")
	r.want(r.path("late[2].log"), "three")
	r.stop()
	r.append("br[1].log", "four\n")
	r.append("br1.log", "five\n") // the pattern goes on to be one
	r.start()
	r.want(r.path("br[1].log"), "one", "four")
	r.want(r.path("br1.log"), "five")
	if n := len(r.lines("")); n != 5 {
		t.Errorf("%d lines, want 5: %q", n, r.lines(""))
	}
}

// What a pattern has, and what has nothing, is told as Run finds it.
func TestPatternsWithoutFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log", "br[1].log", "*.txt", "missing.log", "gone/*.log", "*.out", "*.gz")
	r.cfg.Exclude, r.cfg.Compressed = []string{r.path("left.*")}, true
	for _, name := range []string{"a.log", "br[1].log", "b.txt", "left.out", "old.gz"} {
		r.append(name, "x\n")
	}
	s, err := New(r.cfg)
	r.must(err)
	files, none := s.Found()
	want := []string{r.path("missing.log"), r.path("gone/*.log"), r.path("*.out"), r.path("*.gz")}
	if files != 3 || !slices.Equal(none, want) {
		t.Errorf("%d files, none of %q, want 3 and %q", files, none, want)
	}
}

// What is no good pattern is a name as it stands, if there is such a file.
func TestNamesThatAreNoPatterns(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a[.log", "dir[/*.log")
	r.must(os.Mkdir(r.path("dir["), 0o755))
	if _, err := New(r.cfg); err == nil || !strings.Contains(err.Error(), "close every [") {
		t.Errorf("a file that is not there: %v", err)
	}
	r.append("a[.log", "one\n")
	if _, err := New(r.cfg); err == nil || strings.Contains(err.Error(), "a[.log") || !strings.Contains(err.Error(), "dir[") {
		t.Errorf("a pattern below a directory: %v", err)
	}
	r.cfg.Globs = []string{r.path("a[.log")}
	r.cfg.FromStart = true
	r.start()
	r.want(r.path("a[.log"), "one")
	r.append("a[.log", "two\n")
	r.want(r.path("a[.log"), "one", "two")
	r.rename("a[.log", "a[.log.1")
	r.append("a[.log", "three\n")
	r.want(r.path("a[.log"), "one", "two", "three")
}
