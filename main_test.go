package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// raceEnv makes programs with the race detector end at once; they would wait a second.
const raceEnv = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	testscript.Main(waiting{m}, map[string]func(){"ossecd": main, "nats-server": natsServer})
}

// waiting runs tests that wait for other processes most of the time: more of them at once than there are cores.
type waiting struct{ m *testing.M }

func (w waiting) Run() int {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		flag.Set(f.Name, "8")
	}
	return w.m.Run()
}

// waitLimit bounds every wait of a test for something that another process does.
const waitLimit = 30 * time.Second

// endLimit is how long a program may take to end in order: the 2 s that it allows itself, and as long again for a
// busy machine.
const endLimit = 4 * time.Second

// TestScript runs the real program. Beside the usual commands the scripts have these:
//
//	start NAME ARG...           runs ossecd in the background; its output goes to NAME.out and NAME.err
//	listening NAME VAR          waits until NAME listens, and puts its address into VAR
//	enrolling NAME VAR          likewise, for the address at which it gives out keys
//	waitfor FILE REGEXP [N]     waits until FILE matches, N times
//	signal NAME TERM|INT|KILL|HUP
//	ended NAME CODE             waits until NAME has ended, with the code; -1 is by a signal
//	exits CODE PROGRAM ARG...   runs a program that has to end with the code
//	append FILE LINE
//	empty DIR                   fails unless DIR has nothing in it
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values["daemons"] = make(map[string]*daemon)
			env.Vars = append(env.Vars, raceEnv)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":     cmdStart,
			"listening": cmdListening,
			"enrolling": cmdEnrolling,
			"waitfor":   cmdWaitFor,
			"signal":    cmdSignal,
			"ended":     cmdEnded,
			"exits":     cmdExits,
			"append":    cmdAppend,
			"empty":     cmdEmpty,
		},
	})
}

// daemon is an ossecd that runs in the background.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startDaemon runs ossecd with its output in files.
func startDaemon(dir, name string, env []string, args ...string) (*daemon, error) {
	return startProgram("ossecd", dir, name, env, args...)
}

func startProgram(program, dir, name string, env []string, args ...string) (*daemon, error) {
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
	d := &daemon{cmd: exec.Command(program, args...), done: make(chan struct{})}
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr, d.cmd.Env = dir, out, errOut, append(env, raceEnv)
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.cmd.Wait() // the state tells how it went
		close(d.done)
	}()
	return d, nil
}

// kill ends it at once and waits for that.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.done
}

// wait says whether it ended within the time.
func (d *daemon) wait(within time.Duration) bool {
	select {
	case <-d.done:
		return true
	case <-time.After(within):
		return false
	}
}

func daemons(ts *testscript.TestScript) map[string]*daemon {
	return ts.Value("daemons").(map[string]*daemon)
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME ARG...")
	}
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TMP", "GOCOVERDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	name := args[0]
	d, err := startDaemon(ts.MkAbs("."), name, env, args[1:]...)
	ts.Check(err)
	daemons(ts)[name] = d
	ts.Defer(func() {
		d.kill()
		log, _ := os.ReadFile(ts.MkAbs(name + ".err"))
		ts.Logf("[%s.err]\n%s", name, log)
	})
}

var addrLine = regexp.MustCompile(`msg=listening addr=(\S+)`)

func cmdListening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: listening NAME VAR")
	}
	found := waitForMatch(ts, args[0]+".err", addrLine, 1)
	ts.Setenv(args[1], string(found[0][1]))
}

var enrollAddrLine = regexp.MustCompile(`msg="enrolment listening" addr=(\S+)`)

func cmdEnrolling(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: enrolling NAME VAR")
	}
	found := waitForMatch(ts, args[0]+".err", enrollAddrLine, 1)
	ts.Setenv(args[1], string(found[0][1]))
}

func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: waitfor FILE REGEXP [N]")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	n := 1
	if len(args) == 3 {
		n, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	waitForMatch(ts, args[0], pattern, n)
}

func waitForMatch(ts *testscript.TestScript, file string, pattern *regexp.Regexp, n int) [][][]byte {
	found, err := matchFile(ts.MkAbs(file), pattern, n)
	ts.Check(err)
	return found
}

// matchFile waits until a file, which need not be there yet, matches n times.
func matchFile(path string, pattern *regexp.Regexp, n int) ([][][]byte, error) {
	for end := time.Now().Add(waitLimit); ; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(path)
		if found := pattern.FindAllSubmatch(text, -1); len(found) >= n {
			return found, nil
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%s does not match %s %d times within %v; it says\n%s", path, pattern, n, waitLimit, text[max(0, len(text)-5_000):])
		}
	}
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}
	if neg || len(args) != 2 || daemons(ts)[args[0]] == nil || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME TERM|INT|KILL|HUP")
	}
	ts.Check(daemons(ts)[args[0]].cmd.Process.Signal(signals[args[1]]))
}

func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || daemons(ts)[args[0]] == nil {
		ts.Fatalf("usage: ended NAME CODE")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	d := daemons(ts)[args[0]]
	if !d.wait(endLimit) {
		ts.Fatalf("%s still runs after %v", args[0], endLimit)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("%s ended with %d, want %d", args[0], got, want)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("ended with %d, want %d:\n%s", got, want, ts.ReadFile("stderr"))
	}
}

func cmdAppend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: append FILE LINE")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY|os.O_APPEND, 0)
	ts.Check(err)
	_, err = f.WriteString(args[1] + "\n")
	ts.Check(errors.Join(err, f.Close()))
}

func cmdEmpty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: empty DIR")
	}
	left, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(left) > 0 {
		ts.Fatalf("%s is not empty: %v", args[0], left)
	}
}
