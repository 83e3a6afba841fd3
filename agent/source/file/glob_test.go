package file

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"/l/br[1].log", "/l/br[1].log", true},
		{"/l/br[1].log", "/l/br1.log", true},
		{"/l/br[1].log", "/l/br2.log", false},
		{"/l[1]/a*.log", "/l[1]/ab.log", true},
		{"/l[1]/a*.log", "/l1/ab.log", true},
		{"/l*/a[1].log", "/lx/a[1].log", true},
		{"/l/*.log", "/l/x/a.log", false},
		{"/l/*", "/l", false},
		{"/l", "/l/x", false},
		{"/l/a?", "/l/a?", true},
		{"/l/[^a].log", "/l/a.log", false},
	} {
		if got := matches(filepath.FromSlash(tt.pattern), filepath.FromSlash(tt.path)); got != tt.want {
			t.Errorf("%s and %s: %v, want %v", tt.pattern, tt.path, got, tt.want)
		}
	}
}

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
	if n := r.log.count("have none yet"); n != 1 { // late[2].log, at the first start
		t.Errorf("named %d times, want once", n)
	}
}

// What matches nothing is named at the start, once, with how many files are followed.
func TestPatternsWithoutFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log", "*.txt", "missing.log", "gone/*.log", "*.out")
	r.cfg.Exclude = []string{r.path("left.*")}
	r.append("a.log", "")
	r.append("b.txt", "")
	r.append("left.out", "")
	r.start()
	still()
	if n := r.log.count("have none yet"); n != 1 {
		t.Fatalf("said %d times, want once", n)
	}
	want := `files=2 without="[` + r.path("missing.log") + " " + r.path("gone/*.log") + " " + r.path("*.out") + `]"`
	if runtime.GOOS != "windows" && r.log.count(want) != 1 { // there the backslashes are doubled
		t.Errorf("log lacks %s", want)
	}
	r.append("missing.log", "here\n")
	r.want(r.path("missing.log"), "here")
	r.stop()
	r.cfg.Globs = []string{r.path("a.log"), r.path("*.txt")}
	r.start()
	if r.log.count("have none yet") != 1 || r.log.count(`msg="following files" files=2`) != 1 {
		t.Error("a pattern is said to have no file that has one")
	}
}
