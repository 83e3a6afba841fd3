package system

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ossecd/testdata/program"
)

// A manager that is killed again and again under 5,000 lines a second of an agent loses none of them, whether they are counted in a file or in a
// NATS stream; and no more come twice than were on their way at the kills: a window of the agent's, and what a sink was just writing.
func TestKilledManagerLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir)
	ports := freePorts(t, 2)
	c := &cluster{t: t, dir: dir, clients: []string{fmt.Sprintf("127.0.0.1:%d", ports[0])}, nodes: make([]*program.Process, 1), labels: make(map[string]int)}
	if err := os.WriteFile(filepath.Join(dir, "n0.conf"), fmt.Appendf(nil, "listen: %q\njetstream { store_dir: %q }\n", c.clients[0], filepath.Join(dir, "store")), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[1])
	config := fmt.Sprintf("[manager]\nkeys = \"client.keys\"\nstate = \"m\"\nlisten = [%q]\nevents = \"events.json\"\njournal_size = \"64 MB\"\n"+
		"[[manager.sink]]\ntype = \"nats\"\nservers = [%q]\nstream = \"OSSEC\"\n", addr, c.urls())
	if err := os.WriteFile(filepath.Join(dir, "ossecd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	js := c.jetStream()
	events := filepath.Join(dir, "events.json")
	size := func() int64 {
		info, err := os.Stat(events)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	const perSecond = 5000
	writer := startWriter(t, filepath.Join(dir, "app.log"), perSecond)
	agent := []string{"agent", "--keys", "client.keys", "--state", "a", "--manager", addr, "--file", "app.log", "--from-start"}
	follower := runDaemon(t, dir, "agent", agent...)
	all := rounds(t)
	for round := range all {
		if round%8 == 7 { // it believes ten new runs of a manager at once, and one in 10 s from then on: this would take long
			follower.Cmd.Process.Signal(syscall.SIGTERM)
			if !follower.Wait(program.WaitLimit) {
				t.Fatal("the agent does not end")
			}
			follower = runDaemon(t, dir, "agent", agent...)
		}
		before := size()
		m := runDaemon(t, dir, "manager", "manager", "--config", "ossecd.toml")
		for end := time.Now().Add(program.WaitLimit); size() < before+20_000; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				log, _ := os.ReadFile(filepath.Join(dir, "manager.err"))
				agents, _ := os.ReadFile(filepath.Join(dir, "agent.err"))
				t.Fatalf("no lines come:\n%s\nThe agent:\n%s", log, agents[max(0, len(agents)-5000):])
			}
		}
		time.Sleep(rand.N(300 * time.Millisecond))
		m.Kill()
	}
	runDaemon(t, dir, "manager", "manager", "--config", "ossecd.toml")
	written := writer.stop()
	waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"full_log":"line %d"`, written)), 1)
	follower.Kill()
	stream := make(map[string]int)
	c.eventually(func(ctx context.Context) error {
		s, err := js.Stream(ctx, "OSSEC")
		if err != nil {
			return err
		}
		if stream, _ = c.drain(s); stream[fmt.Sprint("line ", written)] == 0 {
			return fmt.Errorf("the last line is not in the stream, of %d", len(stream))
		}
		return nil
	})
	file := make(map[string]int)
	for n, times := range countMatches(t, events, lineEvent) {
		file["line "+n] = times
	}
	for place, came := range map[string]map[string]int{"file": file, "stream": stream} {
		missing, repeated := 0, 0
		for n := 1; n <= written; n++ {
			switch times := came["line "+strconv.Itoa(n)]; {
			case times == 0:
				missing++
			case times > 1:
				repeated += times - 1
			}
		}
		if missing > 0 {
			t.Errorf("%d of %d lines are missing in the %s", missing, written, place)
		}
		if most := 500 * all; repeated > most {
			t.Errorf("%d lines came twice in the %s, want %d at most", repeated, place, most)
		}
		t.Logf("%s: %d lines, %d kills, %d missing, %d came twice", place, written, all, missing, repeated)
	}
}

// The same with two managers that get all lines each, and are killed in turn.
func TestKilledManagersLoseNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir)
	agent := []string{"agent", "--keys", "client.keys", "--state", "a", "--file", "app.log", "--from-start", "--mode", "all"}
	var managers []*program.Process
	var listens []string
	run := func(i int) *program.Process {
		return runDaemon(t, dir, fmt.Sprint("manager", i), "manager", "--keys", "client.keys", "--state", fmt.Sprint("m", i), "--listen", listens[i],
			"--events", fmt.Sprintf("events%d.json", i), "--control-socket", fmt.Sprintf("%d.sock", i))
	}
	for i, port := range freePorts(t, 2) {
		listens = append(listens, fmt.Sprintf("127.0.0.1:%d", port))
		agent = append(agent, "--manager", listens[i])
		managers = append(managers, run(i))
	}
	writer := startWriter(t, filepath.Join(dir, "app.log"), 5000)
	follower := runDaemon(t, dir, "agent", agent...)
	size := func(i int) int64 {
		info, err := os.Stat(filepath.Join(dir, fmt.Sprintf("events%d.json", i)))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	grow := func(i int) {
		before := size(i)
		for end := time.Now().Add(program.WaitLimit); size(i) < before+20_000; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				log, _ := os.ReadFile(filepath.Join(dir, "agent.err"))
				t.Fatalf("no lines come to manager %d\nThe agent:\n%s", i, log[max(0, len(log)-5000):])
			}
		}
		time.Sleep(rand.N(300 * time.Millisecond))
	}
	all := rounds(t)
	for round := range all {
		if round%8 == 7 {
			follower.Cmd.Process.Signal(syscall.SIGTERM)
			if !follower.Wait(program.WaitLimit) {
				t.Fatal("the agent does not end")
			}
			follower = runDaemon(t, dir, "agent", agent...)
		}
		for i := range managers {
			grow(i)
			managers[i].Kill()
			managers[i] = run(i)
		}
	}
	written := writer.stop()
	for i := range managers {
		events := filepath.Join(dir, fmt.Sprintf("events%d.json", i))
		waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"full_log":"line %d"`, written)), 1)
		came := countMatches(t, events, lineEvent)
		missing, repeated := 0, 0
		for n := 1; n <= written; n++ {
			switch times := came[strconv.Itoa(n)]; {
			case times == 0:
				missing++
			case times > 1:
				repeated += times - 1
			}
		}
		if missing > 0 || repeated > 500*all {
			t.Errorf("manager %d: %d of %d lines are missing, %d came twice in %d kills", i, missing, written, repeated, all)
		}
		t.Logf("manager %d: %d lines, %d kills, %d missing, %d came twice", i, written, all, missing, repeated)
	}
}
