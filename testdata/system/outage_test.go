package system

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ossecd/testdata/program"
)

// The manager is gone for a while, while one log says 1,000 lines a second and another one line: all of them come afterwards,
// the agent's memory does not grow, and the quiet log's lines wait no longer than for the backlog before them.
//
//	OSSECD_OUTAGE=10m go test -count=1 -run Outage -timeout 30m -v .
func TestOutage(t *testing.T) {
	t.Parallel()
	outage := 2 * time.Second
	if text := os.Getenv("OSSECD_OUTAGE"); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil || outage < time.Second {
			t.Fatalf("OSSECD_OUTAGE=%q is no duration from 1s on", text)
		}
	}
	dir := t.TempDir()
	writeKey(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(dir, "events.json")
	listen := "127.0.0.1:0"
	startManager := func() *program.Process {
		d := runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--listen", listen, "--events", "events.json")
		listen = string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])
		return d
	}
	manager := startManager()
	agent := runDaemon(t, dir, "agent", "agent", "--keys", "client.keys", "--state", "a", "--manager", listen, "--file", "log/*.log", "--from-start")
	came := followEvents(t, events, 2)
	loud, quiet := newRotatedLog(t, filepath.Join(dir, "log"), 0), newRotatedLog(t, filepath.Join(dir, "log"), 1)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	// writeUntil keeps both logs going, at their pace.
	writeUntil := func(end func() bool) {
		for !end() {
			<-tick.C
			since := time.Since(began)
			loud.write(int(since.Seconds()*1000) - loud.lines)
			for quiet.lines < int(since.Seconds()) {
				quiet.say(fmt.Sprint(time.Now().UnixNano()))
			}
		}
	}
	during := func(d time.Duration) func() bool {
		end := time.Now().Add(d)
		return func() bool { return time.Now().After(end) }
	}
	writeUntil(during(2 * time.Second))
	came.waitFor(0, 100)
	before := residentBytes(agent)
	manager.Cmd.Process.Signal(syscall.SIGTERM) // a kill can lose what it took and has not written yet
	if !manager.Wait(program.WaitLimit) {
		t.Fatal("the manager does not end")
	}
	most, over := before, during(outage)
	writeUntil(func() bool {
		most = max(most, residentBytes(agent))
		return over()
	})
	startManager()
	back, backlog := time.Now(), loud.lines-came.total()
	var caughtUp time.Duration
	writeUntil(func() bool {
		most = max(most, residentBytes(agent))
		if loud.lines-came.total() < 1000 && caughtUp == 0 {
			caughtUp = time.Since(back)
		}
		return caughtUp > 0 || time.Since(back) > outage+program.WaitLimit
	})
	came.waitFor(0, loud.lines)
	came.waitFor(1, quiet.lines)
	r := came.stop()
	if r.missing > 0 || r.disordered > 0 || r.strange > 0 {
		t.Errorf("%d lines are missing, %d came out of order, %d are none that were written", r.missing, r.disordered, r.strange)
	}
	t.Logf("%v without a manager: %d lines waited, all were there %.1f s after its return, %d came twice; a line of the quiet log written after it waited %.2f s at most; the agent had %.1f MB before and %.1f MB at most",
		outage, backlog, caughtUp.Seconds(), r.repeated, longestWait(t, events, back).Seconds(), float64(before)/1e6, float64(most)/1e6)
	if most > before+16<<20 {
		t.Errorf("the agent's memory grew from %d to %d bytes", before, most)
	}
}

var quietLine = regexp.MustCompile(`"timestamp":"([^"]+)".*"full_log":"soak 1 \d+ (\d+)"`)

// longestWait is the longest time from the writing of a line of the quiet log to its taking by the manager, of those written from then on.
func longestWait(t *testing.T, events string, from time.Time) (longest time.Duration) {
	text, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range quietLine.FindAllSubmatch(text, -1) {
		at, err1 := time.Parse(time.RFC3339Nano, string(m[1]))
		written, err2 := strconv.ParseInt(string(m[2]), 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", m[0], err1, err2)
		}
		if w := time.Unix(0, written); w.After(from) {
			longest = max(longest, at.Sub(w))
		}
	}
	return longest
}
