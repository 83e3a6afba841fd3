//go:build unix

package file

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// childEnv marks the process in which a test goes on that changes what its process may do.
const childEnv = "OSSECD_TEST_CHILD"

// inChild says that this is such a process. Otherwise it runs the test in one, as nobody where nobody is set and this is root.
func inChild(t *testing.T, nobody bool) bool {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return true
	}
	exe := "/proc/self/exe" // which another user may run, too, wherever the test was built
	if _, err := os.Stat(exe); err != nil {
		exe = os.Args[0]
	}
	dir, err := os.MkdirTemp("", "ossecd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(exe, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name(), "TMPDIR="+dir)
	if nobody && os.Geteuid() == 0 {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in the child: %v\n%s", err, out)
	}
	return false
}

func TestPermissionGranted(t *testing.T) {
	t.Parallel()
	if !inChild(t, true) {
		return
	}
	r := newRig(t, "*.log")
	r.append("a.log", "old\n")
	r.must(os.Chmod(r.path("a.log"), 0))
	r.start()
	still()
	if got := r.log.count("permission denied"); got != 1 {
		t.Errorf("%d warnings, want 1", got)
	}
	if r.log.count("let the agent read it") != 1 || r.log.count("path="+r.path("a.log")) == 0 {
		t.Error("the warning names no remedy, or not the file")
	}
	r.stop()
	r.start() // the place to begin at outlives a restart
	r.must(os.Chmod(r.path("a.log"), 0o644))
	r.append("a.log", "1\n")
	r.want("", "1")
}

// A directory that may not be read, and then may.
func TestDirectoryGranted(t *testing.T) {
	t.Parallel()
	if !inChild(t, true) {
		return
	}
	r := newRig(t, "d/*.log")
	r.must(os.Mkdir(r.path("d"), 0))
	r.start()
	r.log.wait(t, "directory cannot be read")
	r.must(os.Chmod(r.path("d"), 0o755))
	r.append("d/a.log", "1\n")
	r.want("", "1")
}

// The state directory becomes read-only while the agent runs: positions are not saved, which is logged once, and reading
// goes on; so it does when the directory is writable again.
func TestStateReadOnly(t *testing.T) {
	t.Parallel()
	if !inChild(t, true) {
		return
	}
	r := newRig(t, "a.log")
	state := t.TempDir()
	r.cfg.Positions = state + "/positions.json"
	r.append("a.log", "")
	r.start()
	r.must(os.Chmod(state, 0o555))
	r.append("a.log", "1\n")
	r.want("", "1")
	r.log.wait(t, "the state directory writable")
	r.append("a.log", "2\n")
	r.want("", "1", "2")
	still()
	if n := r.log.count("cannot be saved"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	r.must(os.Chmod(state, 0o755))
	r.stop()
	r.append("a.log", "3\n")
	r.start()
	r.want("", "1", "2", "3")
}

// The disk is full: what is written there may not grow. Reading goes on, and goes on at the right place after a restart with room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if !inChild(t, false) {
		return
	}
	r := newRig(t, "a.log")
	r.append("a.log", "1\n")
	r.cfg.FromStart = true
	r.start()
	r.want("", "1")
	w, err := os.OpenFile(r.path("a.log"), os.O_APPEND|os.O_WRONLY, 0)
	r.must(err)
	var before syscall.Rlimit
	r.must(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	full := before
	full.Cur = 8 // the log has room for two bytes four times
	r.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full))
	_, err = w.WriteString("2\n")
	r.must(err)
	r.want("", "1", "2")
	r.log.wait(t, "free space on the disk")
	r.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
	r.stop()
	_, err = w.WriteString("3\n")
	r.must(err)
	r.start()
	r.want("", "1", "2", "3")
}

// More new files than may be open: those that are followed are read on, the agent keeps some for itself, and the log stays short.
func TestMoreFilesThanMayBeOpen(t *testing.T) {
	t.Parallel()
	if !inChild(t, false) {
		return
	}
	const limit, files = 256, 3000
	r := newRig(t, "*.log")
	r.append("a.log", "")
	r.start()
	r.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}))
	for i := range files {
		r.append(fmt.Sprintf("n%d.log", i), fmt.Sprintln("new", i))
	}
	r.append("a.log", "1\n")
	r.want(r.path("a.log"), "1")
	r.log.wait(t, "raise the limit of open files")
	still()
	for range 8 { // beside what the source has itself
		f, err := os.Open(r.path("a.log"))
		if err != nil {
			t.Fatalf("nothing is left for the rest of the agent: %v", err)
		}
		defer f.Close()
	}
	if n := r.log.count("\n"); n > 2*maxSaid+20 {
		t.Errorf("%d lines in the log", n)
	}
	for i := range files {
		r.must(os.Remove(r.path(fmt.Sprintf("n%d.log", i))))
	}
	r.append("last.log", "2\n")
	r.want(r.path("last.log"), "2")
}
