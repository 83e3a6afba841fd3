package system

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"ossecd/testdata/program"
)

// cutter passes connections on to a manager, and cuts them when a test says so.
type cutter struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	running  sync.WaitGroup
}

func newCutter(t *testing.T, to string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, to: to, conns: make(map[net.Conn]struct{})}
	c.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.running.Go(func() { c.pass(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut()
		c.running.Wait()
	})
	return c
}

func (c *cutter) addr() string { return c.listener.Addr().String() }

func (c *cutter) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer to.Close()
	c.mu.Lock()
	c.conns[from], c.conns[to] = struct{}{}, struct{}{}
	c.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(from, to)
		from.Close()
	})
	io.Copy(to, from)
	to.Close()
	back.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, from)
	delete(c.conns, to)
}

// cut ends all connections without a word: what is on the way is lost.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		if t, ok := conn.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		conn.Close()
	}
}

const (
	tcpLines = 100_000

	// windowEvents is how many short events may be unacknowledged: what may come twice at each break.
	windowEvents = 144
)

// Over TCP no line is lost when connections are cut and either end is killed, and only what was unacknowledged then comes twice.
func TestNothingIsLostOverTCP(t *testing.T) {
	t.Parallel()
	for _, form := range [][]string{{"--crypto", "blowfish"}, {"--dialect", "wazuh", "--crypto", "aes"}} {
		t.Run(form[1], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeKey(t, dir)
			var text bytes.Buffer
			for i := range tcpLines {
				fmt.Fprintf(&text, "tcp line %06d\n", i)
			}
			if err := os.WriteFile(filepath.Join(dir, "app.log"), text.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			listen := "127.0.0.1:0"
			startManager := func() *program.Process {
				d := runDaemon(t, dir, "manager", "manager", "--keys", "client.keys", "--state", "m", "--listen", "tcp://"+listen, "--events", "events.json")
				listen = string(waitForFile(t, filepath.Join(dir, "manager.err"), program.ListenLine, 1)[0][1])
				return d
			}
			manager := startManager()
			proxy := newCutter(t, listen)
			startAgent := func() *program.Process {
				args := []string{"agent", "--keys", "client.keys", "--state", "a", "--manager", "tcp://" + proxy.addr(), "--file", "app.log", "--from-start", "--rate", "20000"}
				return runDaemon(t, dir, "agent", append(args, form...)...)
			}
			agent := startAgent()
			events, breaks := filepath.Join(dir, "events.json"), 0
			// come waits until so many lines have come.
			come := func(n int) map[string]int {
				t.Helper()
				for end := time.Now().Add(2 * program.WaitLimit); ; time.Sleep(50 * time.Millisecond) {
					came := countMatches(t, events, regexp.MustCompile(`"full_log":"tcp line (\d{6})"`))
					if len(came) >= n {
						return came
					}
					if time.Now().After(end) {
						log, _ := os.ReadFile(filepath.Join(dir, "agent.err"))
						managers, _ := os.ReadFile(filepath.Join(dir, "manager.err"))
						t.Fatalf("%d of %d lines came; the agent says\n%s\nthe manager\n%s", len(came), n, log, managers)
					}
				}
			}
			for i, disturb := range []func(){
				proxy.cut,
				func() { manager.Kill(); manager = startManager() },
				func() { agent.Kill(); agent = startAgent() },
				proxy.cut,
			} {
				come((i + 1) * tcpLines / 6)
				disturb()
				breaks++
			}
			came := come(tcpLines)
			agent.Kill()
			manager.Kill()
			twice := 0
			for line, n := range came {
				if n > 1+breaks {
					t.Errorf("line %s came %d times", line, n)
				}
				twice += n - 1
			}
			if twice > breaks*windowEvents {
				t.Errorf("%d lines came again after %d breaks, %d may", twice, breaks, breaks*windowEvents)
			}
			t.Logf("%d lines, %d breaks, %d came again", len(came), breaks, twice)
		})
	}
}
