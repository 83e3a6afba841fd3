package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ossecd/testdata/program"
)

func TestMain(m *testing.M) {
	testscript.Main(waiting{m}, map[string]func(){"ossecd": main})
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

// TestScript runs the real program. Beside the usual commands the scripts have these:
//
//	start NAME ARG...           runs ossecd in the background; its output goes to NAME.out and NAME.err
//	listening NAME VAR          waits until NAME listens, and puts its address into VAR
//	enrolling NAME VAR          likewise, for the address at which it gives out keys
//	serving NAME VAR            likewise, for the address of metrics and health
//	get URL FILE                writes the status and the body that the URL answers with into FILE
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
			env.Values["daemons"] = make(map[string]*program.Process)
			env.Vars = append(env.Vars, program.RaceEnv)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":     cmdStart,
			"listening": cmdListening,
			"enrolling": cmdEnrolling,
			"serving":   cmdServing,
			"get":       cmdGet,
			"waitfor":   cmdWaitFor,
			"signal":    cmdSignal,
			"ended":     cmdEnded,
			"exits":     cmdExits,
			"append":    cmdAppend,
			"empty":     cmdEmpty,
		},
	})
}

func daemons(ts *testscript.TestScript) map[string]*program.Process {
	return ts.Value("daemons").(map[string]*program.Process)
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
	d, err := program.Start("ossecd", ts.MkAbs("."), name, env, args[1:]...)
	ts.Check(err)
	daemons(ts)[name] = d
	ts.Defer(func() {
		d.Kill()
		log, _ := os.ReadFile(ts.MkAbs(name + ".err"))
		ts.Logf("[%s.err]\n%s", name, log)
	})
}

func cmdListening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: listening NAME VAR")
	}
	found := waitForMatch(ts, args[0]+".err", program.ListenLine, 1)
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

var httpAddrLine = regexp.MustCompile(`msg=listening addr=(\S+) network=http`)

func cmdServing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serving NAME VAR")
	}
	found := waitForMatch(ts, args[0]+".err", httpAddrLine, 1)
	ts.Setenv(args[1], string(found[0][1]))
}

func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get URL FILE")
	}
	answer, err := http.Get(args[0])
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), fmt.Appendf(nil, "%d %s", answer.StatusCode, body), 0o600))
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
	found, err := program.MatchFile(ts.MkAbs(file), pattern, n)
	ts.Check(err)
	return found
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}
	if neg || len(args) != 2 || daemons(ts)[args[0]] == nil || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME TERM|INT|KILL|HUP")
	}
	ts.Check(daemons(ts)[args[0]].Cmd.Process.Signal(signals[args[1]]))
}

func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || daemons(ts)[args[0]] == nil {
		ts.Fatalf("usage: ended NAME CODE")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	d := daemons(ts)[args[0]]
	if !d.Wait(program.EndLimit) {
		ts.Fatalf("%s still runs after %v", args[0], program.EndLimit)
	}
	if got := d.Cmd.ProcessState.ExitCode(); got != want {
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
