// Package program runs programs in the background for tests: the scripts of the main package and the system tests.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

const (
	// WaitLimit bounds every wait of a test for something that another process does.
	WaitLimit = 30 * time.Second
	// EndLimit is how long ossecd may take to end in order: the 2 s that it allows itself, and as long again for a busy
	// machine.
	EndLimit = 4 * time.Second
	// RaceEnv makes programs with the race detector end at once; they would wait a second.
	RaceEnv = "GORACE=atexit_sleep_ms=0"
)

// ListenLine is how a manager logs the address that it listens on.
var ListenLine = regexp.MustCompile(`msg=listening addr=(\S+)`)

// Process is a program that runs in the background.
type Process struct {
	Cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start runs a program in the directory dir. Its output goes to NAME.out and NAME.err there.
func Start(program, dir, name string, env []string, args ...string) (*Process, error) {
	out, err := os.Create(filepath.Join(dir, name+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	errOut, err := os.Create(filepath.Join(dir, name+".err"))
	if err != nil {
		return nil, err
	}
	defer errOut.Close()
	p := &Process{Cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.Cmd.Dir, p.Cmd.Stdout, p.Cmd.Stderr, p.Cmd.Env = dir, out, errOut, append(env, RaceEnv)
	if err := p.Cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.Cmd.Wait() // the state tells how it went
		close(p.done)
	}()
	return p, nil
}

// Kill ends it at once and waits for that.
func (p *Process) Kill() {
	p.Cmd.Process.Kill()
	<-p.done
}

// Wait says whether it ended within the time.
func (p *Process) Wait(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}

// MatchFile waits until a file, which need not be there yet, matches n times.
func MatchFile(path string, pattern *regexp.Regexp, n int) ([][][]byte, error) {
	for end := time.Now().Add(WaitLimit); ; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(path)
		if found := pattern.FindAllSubmatch(text, -1); len(found) >= n {
			return found, nil
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%s does not match %s %d times within %v; it says\n%s", path, pattern, n, WaitLimit, text[max(0, len(text)-5_000):])
		}
	}
}
