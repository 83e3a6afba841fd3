package system

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"ossecd/testdata/program"
)

// soak is how much TestRotatedFiles does.
type soak struct {
	lines, files, kills, restarts, rotations int
}

// size is a small soak, or with OSSECD_SOAK_LINES set one of so many lines.
func size(t *testing.T) soak {
	text := os.Getenv("OSSECD_SOAK_LINES")
	if text == "" {
		return soak{lines: 6_000, files: 4, kills: 2, restarts: 1, rotations: 2}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10_000 {
		t.Fatalf("OSSECD_SOAK_LINES=%q is no number from 10000 on", text)
	}
	return soak{lines: n, files: 50, kills: 20, restarts: 10, rotations: 5}
}

// Files are written and rotated, by rename and by copying and truncating, while the agent is killed and the manager
// restarted: every line arrives, in the order of its file, and few come twice.
//
//	OSSECD_SOAK_LINES=10000000 go test -count=1 -run RotatedFiles -timeout 1h -v .
func TestRotatedFiles(t *testing.T) {
	t.Parallel()
	n := size(t)
	dir := t.TempDir()
	writeKey(t, dir)
	listen := "127.0.0.1:0"
	startManager := func() *program.Process {
		d := runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--listen", listen, "--events", "events.json")
		listen = string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])
		return d
	}
	startAgent := func() *program.Process {
		return runDaemon(t, dir, "agent", "agent", "--keys", "client.keys", "--state", "a", "--manager", listen, "--file", "log/*.log", "--from-start")
	}
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	manager, agent := startManager(), startAgent()
	began := time.Now()
	came := followEvents(t, filepath.Join(dir, "events.json"), n.files)
	logs := make([]*rotatedLog, n.files)
	for i := range logs {
		logs[i] = newRotatedLog(t, filepath.Join(dir, "log"), i)
		logs[i].write(1)
		came.waitFor(i, 1) // a file that is renamed before the agent ever saw it has no name of ours
	}

	kills, restarts, most := 0, 0, int64(0)
	perTurn := min(200, n.lines/n.files/10)
	for written := n.files; written < n.lines; {
		for i, l := range logs {
			l.write(perTurn)
			written += perTurn
			if due := l.lines * (n.rotations + 1) / (n.lines / n.files); due > l.rotated && l.rotated < n.rotations {
				l.rotate(i%2 == 0, func() { came.waitFor(i, l.lines) })
			}
		}
		if written*(n.kills+1)/n.lines > kills && kills < n.kills {
			agent.Kill()
			agent = startAgent()
			kills++
		}
		if written*(n.restarts+1)/n.lines > restarts && restarts < n.restarts {
			time.Sleep(rand.N(50 * time.Millisecond)) // not always at the same distance from a kill
			manager.Cmd.Process.Signal(syscall.SIGTERM)
			if !manager.Wait(program.WaitLimit) {
				t.Fatal("the manager does not end")
			}
			manager = startManager()
			restarts++
		}
		most = max(most, residentBytes(agent))
		for written-came.total() > 200_000 { // rotated files are not to be older than a log rotation keeps them
			time.Sleep(10 * time.Millisecond)
		}
	}
	for i, l := range logs {
		came.waitFor(i, l.lines)
	}
	took := time.Since(began)
	time.Sleep(200 * time.Millisecond) // for what comes twice at the very end
	r := came.stop()
	if r.missing > 0 || r.disordered > 0 || r.strange > 0 {
		t.Errorf("%d lines are missing, %d came out of order, %d are none that were written", r.missing, r.disordered, r.strange)
	}
	if share := float64(r.repeated) / float64(came.total()); share >= 0.01 && n.lines >= 1_000_000 {
		t.Errorf("%.2f %% of the lines came twice", 100*share)
	}
	t.Logf("%d lines of %d files in %.0f s, %d rotations of each; %d kills of the agent, %d restarts of the manager: %d missing, %d out of order, %d repeated; the agent had up to %d MB resident",
		came.total(), n.files, took.Seconds(), n.rotations, kills, restarts, r.missing, r.disordered, r.repeated, most>>20)
}

// rotatedLog is a log file that is written to and rotated.
type rotatedLog struct {
	t              *testing.T
	number         int
	path           string
	file           *os.File
	lines, rotated int
}

func newRotatedLog(t *testing.T, dir string, number int) *rotatedLog {
	l := &rotatedLog{t: t, number: number, path: filepath.Join(dir, fmt.Sprintf("app%d.log", number))}
	l.open()
	t.Cleanup(func() { l.file.Close() })
	return l
}

func (l *rotatedLog) open() {
	var err error
	if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *rotatedLog) write(n int) {
	var text []byte
	for range n {
		l.lines++
		text = fmt.Appendf(text, "soak %d %d Nov 23 06:25:01 web%02d sshd[4711]: Failed password for invalid user admin from 192.0.2.7 port 40112 ssh2\n",
			l.number, l.lines, l.number)
	}
	if _, err := l.file.Write(text); err != nil {
		l.t.Fatal(err)
	}
}

// say writes a line with this text behind its number.
func (l *rotatedLog) say(text string) {
	l.lines++
	if _, err := fmt.Fprintf(l.file, "soak %d %d %s\n", l.number, l.lines, text); err != nil {
		l.t.Fatal(err)
	}
}

// rotate renames the file and begins a new one, or copies and truncates it once all of it was read: what is truncated
// before is lost to any reader.
func (l *rotatedLog) rotate(rename bool, allRead func()) {
	l.rotated++
	old := fmt.Sprintf("%s.%d", l.path, l.rotated)
	if rename {
		if err := os.Rename(l.path, old); err != nil {
			l.t.Fatal(err)
		}
		l.file.Close()
		l.open()
		return
	}
	allRead()
	text, err := os.ReadFile(l.path)
	if err == nil {
		err = os.WriteFile(old, text, 0o600)
	}
	if err == nil {
		err = l.file.Truncate(0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// residentBytes is what a process has in memory, where the system tells it in the way of Linux.
func residentBytes(d *program.Process) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var all, resident int64
	fmt.Sscan(string(text), &all, &resident)
	return resident * int64(os.Getpagesize())
}

// arrivals are the lines that came out, read as they come.
type arrivals struct {
	t    *testing.T
	end  func()
	done chan struct{}

	mu    sync.Mutex
	files []arrived
	sum   int // lines that came for the first time
	arrivalCounts
}

type arrivalCounts struct{ missing, disordered, repeated, strange int }

// arrived is what came of one file.
type arrived struct {
	highest int
	gaps    map[int]struct{} // below highest
}

func followEvents(t *testing.T, path string, files int) *arrivals {
	end := make(chan struct{})
	a := &arrivals{t: t, end: sync.OnceFunc(func() { close(end) }), done: make(chan struct{}), files: make([]arrived, files)}
	for i := range a.files {
		a.files[i].gaps = make(map[int]struct{})
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.end()
		<-a.done
	})
	go func() {
		defer close(a.done)
		defer f.Close()
		r := bufio.NewReaderSize(f, 1<<20)
		var part []byte
		for {
			line, err := r.ReadSlice('\n')
			part = append(part, line...)
			if err == nil {
				a.take(part)
				part = part[:0]
				continue
			}
			if err != io.EOF && err != bufio.ErrBufferFull {
				t.Error(err)
				return
			}
			if err == io.EOF {
				select {
				case <-end:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
	}()
	return a
}

func (a *arrivals) take(event []byte) {
	_, text, found := bytes.Cut(event, []byte(`"full_log":"soak `))
	if !found {
		return // what agent and manager say of themselves
	}
	number, rest, _ := bytes.Cut(text, []byte{' '})
	line, _, _ := bytes.Cut(rest, []byte{' '})
	file, err1 := strconv.Atoi(string(number))
	n, err2 := strconv.Atoi(string(line))
	a.mu.Lock()
	defer a.mu.Unlock()
	if err1 != nil || err2 != nil || file < 0 || file >= len(a.files) || n < 1 {
		a.strange++
		return
	}
	f := &a.files[file]
	_, gap := f.gaps[n]
	switch {
	case n > f.highest:
		for missing := f.highest + 1; missing < n; missing++ {
			f.gaps[missing] = struct{}{}
		}
		f.highest = n
		a.sum++
	case gap:
		delete(f.gaps, n)
		a.disordered++
		a.sum++
	default:
		a.repeated++
	}
}

func (a *arrivals) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum
}

// waitFor waits until so many lines of a file came.
func (a *arrivals) waitFor(file, lines int) {
	a.t.Helper()
	for end := time.Now().Add(4 * program.WaitLimit); ; time.Sleep(5 * time.Millisecond) {
		a.mu.Lock()
		highest := a.files[file].highest
		a.mu.Unlock()
		if highest >= lines {
			return
		}
		if time.Now().After(end) {
			a.t.Fatalf("of file %d there came %d of %d lines", file, highest, lines)
		}
	}
}

// stop returns the counts.
func (a *arrivals) stop() arrivalCounts {
	a.end()
	<-a.done
	for i, f := range a.files {
		a.missing += len(f.gaps)
		if len(f.gaps) > 0 {
			gaps := slices.Sorted(maps.Keys(f.gaps))
			a.t.Logf("of file %d miss %d lines from %d to %d", i, len(gaps), gaps[0], gaps[len(gaps)-1])
		}
	}
	return a.arrivalCounts
}
