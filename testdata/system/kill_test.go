package system

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/testdata/program"
)

// rounds is how often a program is killed: a few times, or as often as OSSECD_SOAK says.
func rounds(t *testing.T) int {
	text := os.Getenv("OSSECD_SOAK")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("OSSECD_SOAK=%q is no number of rounds", text)
	}
	return n
}

// A manager that is killed under load takes nothing again that it took before, and takes what is new.
func TestKilledManagerTakesNothingTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir)
	events := filepath.Join(dir, "events.json")
	tap := newTap(t)
	listen := "127.0.0.1:0"
	startManager := func() *program.Process {
		d := runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--listen", listen, "--events", "events.json")
		found := waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)
		listen = string(found[0][1])
		tap.forward(netip.MustParseAddrPort(listen))
		return d
	}
	manager := startManager()
	replayed := 0
	for round := range rounds(t) {
		load := runDaemon(t, dir, "load", "send-test", "--keys", "client.keys", "--manager", tap.addr(), "--count", "1000000", "--rate", "4000", fmt.Sprintf("round %d", round))
		waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"round %d \d+"`, round)), 1)
		time.Sleep(rand.N(500 * time.Millisecond))
		manager.Kill()
		load.Kill()
		old := tap.take()

		manager = startManager()
		replayed += len(old)
		replay(t, listen, old)
		fresh := exec.Command("ossecd", "send-test", "--keys", filepath.Join(dir, "client.keys"), "--manager", listen, fmt.Sprintf("fresh %d", round))
		fresh.Env = append(os.Environ(), program.RaceEnv)
		out, err := fresh.CombinedOutput()
		if err != nil {
			t.Fatalf("round %d: fresh traffic is not taken: %v\n%s", round, err, out)
		}
		waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"fresh %d"`, round)), 1)
		replay(t, listen, old)
	}
	time.Sleep(300 * time.Millisecond) // for what was replayed last to be taken, should it be
	manager.Kill()

	came := countMatches(t, events, regexp.MustCompile(`"full_log":"((?:round|fresh) [0-9 ]+)"`))
	for text, n := range came {
		if n != 1 {
			t.Errorf("%q was taken %d times", text, n)
		}
	}
	t.Logf("%d datagrams of %d events were replayed twice", replayed, len(came))
}

// An agent that is killed under load loses no line of its files.
func TestKilledAgentLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeKey(t, dir)
	events := filepath.Join(dir, "events.json")
	runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--listen", "127.0.0.1:0", "--events", "events.json")
	addr := string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])

	writer := startWriter(t, filepath.Join(dir, "app.log"), linesPerSecond)
	agent := []string{"agent", "--keys", "client.keys", "--state", "a", "--manager", addr, "--file", "app.log", "--from-start"}
	all := rounds(t)
	for range all {
		before := len(countMatches(t, events, lineEvent))
		d := runDaemon(t, dir, "agent", agent...)
		end := time.Now().Add(program.WaitLimit)
		for len(countMatches(t, events, lineEvent)) <= before+100 {
			if time.Now().After(end) {
				log, _ := os.ReadFile(filepath.Join(dir, "agent.err"))
				t.Fatalf("no lines come:\n%s", log)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(rand.N(500 * time.Millisecond))
		d.Kill()
	}
	written := writer.stop()
	d := runDaemon(t, dir, "agent", append(agent, "--exit-when-idle")...)
	if !d.Wait(program.WaitLimit) || d.Cmd.ProcessState.ExitCode() != 0 {
		log, _ := os.ReadFile(filepath.Join(dir, "agent.err"))
		t.Fatalf("the last agent does not end well: %v\n%s", d.Cmd.ProcessState, log)
	}
	waitForFile(t, events, regexp.MustCompile(fmt.Sprintf(`"full_log":"line %d"`, written)), 1)

	came := countMatches(t, events, lineEvent)
	missing, repeated := 0, 0
	for n := 1; n <= written; n++ {
		switch c := came[strconv.Itoa(n)]; {
		case c == 0:
			missing++
		case c > 1:
			repeated += c - 1
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d lines are missing", missing, written)
	}
	if most := all * linesPerSecond; repeated > most {
		t.Errorf("%d lines came twice, want no more than those of a second for each kill, %d", repeated, most)
	}
	t.Logf("%d lines, %d kills, %d lines came twice", written, all, repeated)
}

var lineEvent = regexp.MustCompile(`"full_log":"line ([0-9]+)"`)

const linesPerSecond = 2000

// lineWriter appends numbered lines to a file.
type lineWriter struct {
	end  chan struct{}
	done chan int
	once func() int
}

func startWriter(t *testing.T, path string, perSecond int) *lineWriter {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &lineWriter{end: make(chan struct{}), done: make(chan int, 1)}
	w.once = sync.OnceValue(func() int {
		close(w.end)
		return <-w.done
	})
	t.Cleanup(func() { w.once() })
	go func() {
		defer f.Close()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		n := 0
		for {
			select {
			case <-w.end:
				w.done <- n
				return
			case <-tick.C:
			}
			var lines []byte
			for range perSecond / 100 {
				n++
				lines = fmt.Appendf(lines, "line %d\n", n)
			}
			f.Write(lines)
		}
	}()
	return w
}

// stop returns how many lines there are.
func (w *lineWriter) stop() int { return w.once() }

// tap forwards datagrams to a manager and its answers back, and keeps what went to the manager.
type tap struct {
	conn *net.UDPConn

	mu      sync.Mutex
	manager netip.AddrPort
	back    map[netip.AddrPort]*net.UDPConn
	kept    [][]byte
}

func newTap(t *testing.T) *tap {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{conn: conn, back: make(map[netip.AddrPort]*net.UDPConn)}
	var running sync.WaitGroup
	running.Go(func() {
		wire := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(wire)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.kept = append(p.kept, bytes.Clone(wire[:n]))
			c := p.back[from]
			if c == nil {
				if c, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(p.manager)); err != nil {
					p.mu.Unlock()
					continue
				}
				p.back[from] = c
				running.Go(func() { p.answers(c, from) })
			}
			p.mu.Unlock()
			c.Write(wire[:n]) // may be refused while the manager is not there
		}
	})
	t.Cleanup(func() {
		conn.Close()
		p.mu.Lock()
		for _, c := range p.back {
			c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

func (p *tap) answers(c *net.UDPConn, to netip.AddrPort) {
	wire := make([]byte, 1<<16)
	for {
		n, err := c.Read(wire)
		if n > 0 {
			p.conn.WriteToUDPAddrPort(wire[:n], to)
		} else if err != nil {
			return
		}
	}
}

func (p *tap) addr() string { return p.conn.LocalAddr().String() }

func (p *tap) forward(to netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manager = to
}

// take returns what was kept and forgets it.
func (p *tap) take() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.kept
	p.kept = nil
	return kept
}

// replay sends datagrams once more, slowly enough for a manager to look at each.
func replay(t *testing.T, to string, datagrams [][]byte) {
	t.Helper()
	conn, err := net.Dial("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, d := range datagrams {
		if _, err := conn.Write(d); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			time.Sleep(time.Millisecond)
		}
	}
}

func writeKey(t *testing.T, dir string) {
	t.Helper()
	key := keys.Key{ID: "001", Name: "web01", Address: keys.Any, Secret: keys.NewSecret()}
	if err := os.WriteFile(filepath.Join(dir, "client.keys"), []byte(key.Line()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func runDaemon(t *testing.T, dir, name string, args ...string) *program.Process {
	t.Helper()
	d, err := program.Start("ossecd", dir, name, os.Environ(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	return d
}

func waitForFile(t *testing.T, path string, pattern *regexp.Regexp, n int) [][][]byte {
	t.Helper()
	found, err := program.MatchFile(path, pattern, n)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// countMatches counts how often each first submatch stands in a file.
func countMatches(t *testing.T, path string, pattern *regexp.Regexp) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		count[string(m[1])]++
	}
	return count
}
