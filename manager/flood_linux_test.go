package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

const (
	floodEnv        = "OSSECD_FLOOD"     // how long the flood goes on, as in 10s
	floodManagerEnv = "OSSECD_FLOOD_DIR" // of the process that is the manager

	floodAgents    = 50
	floodAuthentic = 5_000   // events a second, of all agents
	floodJunk      = 100_000 // datagrams a second
	floodSockets   = 64      // that junk comes from
	floodStep      = time.Millisecond
)

// TestFlood sends junk to a manager in a process of its own, beside authentic events: these must get through, what
// does not must be counted, and the manager must not grow. It takes two cores for itself, and runs where
// OSSECD_FLOOD says for how long:
//
//	OSSECD_FLOOD=10s go test -run Flood -v ./manager
func TestFlood(t *testing.T) {
	if dir := os.Getenv(floodManagerEnv); dir != "" {
		runFloodManager(t, dir)
		return
	}
	text := os.Getenv(floodEnv)
	if text == "" {
		t.Skip("a load test; " + floodEnv + "=10s runs it for 10 s")
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < 3*time.Second {
		t.Fatalf("%s=%q: use a duration of 3s or more", floodEnv, text)
	}
	dir := t.TempDir()
	agents := floodKeys(t, dir)
	child, addr := startFloodManager(t, dir)

	events := newEventSource(t, agents, addr)
	junk := newJunkSource(t, agents, addr)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { events.sent = floodPaced(ctx, floodAuthentic, events.send) })
	all.Go(func() { junk.sent = floodPaced(ctx, floodJunk, junk.send) })
	time.Sleep(length / 4) // by then all buffers have their size
	before := procValue(t, child.Process.Pid, "status", "VmRSS:")
	all.Wait()
	time.Sleep(time.Second) // for what waits in the sockets
	after := procValue(t, child.Process.Pid, "status", "VmRSS:")
	ticks := procTicks(t, child.Process.Pid)
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("the manager ended with %v", err)
	}

	refused, dropped := floodLog(t, filepath.Join(dir, "log.json"))
	taken := floodTaken(t, filepath.Join(dir, "events.json"))
	share := float64(taken) / float64(events.sent)
	t.Logf("authentic: %d sent (%.0f/s), %d taken, %.3f %%", events.sent, float64(events.sent)/length.Seconds(), taken, 100*share)
	t.Logf("junk: %d sent (%.0f/s); refused %v; dropped by the system %d", junk.sent, float64(junk.sent)/length.Seconds(), refused, dropped)
	t.Logf("manager: %d kB resident after a quarter, %d kB at the end, %.2f s of CPU (%.2f µs a datagram)", before, after,
		float64(ticks)/100, float64(ticks)*1e4/float64(events.sent+junk.sent))
	if share < 0.99 {
		t.Errorf("%.2f %% of the authentic events were taken, want 99 %%", 100*share)
	}
	counted := taken + dropped
	for _, n := range refused {
		counted += n
	}
	if sent := events.sent + junk.sent; counted != sent {
		t.Errorf("%d datagrams are accounted for, and %d were sent", counted, sent)
	}
	if after > before+8<<10 {
		t.Errorf("the manager grew from %d to %d kB", before, after)
	}
}

// floodKeys writes the keys file.
func floodKeys(t *testing.T, dir string) []keys.Key {
	t.Helper()
	var lines bytes.Buffer
	var agents []keys.Key
	for n := range floodAgents {
		line := fmt.Sprintf("%03d agent%03d any %064x", n+1, n+1, n+1)
		lines.WriteString(line + "\n")
		agents = append(agents, mustKey(t, line))
	}
	if err := os.WriteFile(filepath.Join(dir, "client.keys"), lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return agents
}

// runFloodManager is the manager's process.
func runFloodManager(t *testing.T, dir string) {
	out, err := os.Create(filepath.Join(dir, "log.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cfg := Config{
		Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Events: filepath.Join(dir, "events.json"),
		Listen: []string{"127.0.0.1:0"},
		Ready:  func(a []netip.AddrPort) { fmt.Println(a[0]) },
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, cfg, slog.New(slog.NewJSONHandler(out, nil))); err != nil {
		t.Fatal(err)
	}
}

func startFloodManager(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^TestFlood$")
	child.Env = append(os.Environ(), floodManagerEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill() })
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		t.Fatalf("no address from the manager: %v", err)
	}
	return child, addr
}

// floodPaced calls send until ctx ends, at a rate a second, and never for more than two steps at once. It returns how
// often.
func floodPaced(ctx context.Context, rate int, send func()) (sent int) {
	step := rate * int(floodStep) / int(time.Second)
	for began := time.Now(); ctx.Err() == nil; time.Sleep(floodStep / 4) {
		due := int(time.Since(began).Seconds()*float64(rate)) - sent
		for range min(due, 2*step) {
			send()
			sent++
		}
	}
	return sent
}

// eventSource sends authentic events of all agents in turn.
type eventSource struct {
	t       *testing.T
	sealer  *proto.Sealer
	conns   []net.Conn
	ciphers []*proto.Cipher
	forms   []proto.Envelope
	buffer  []byte
	next    int
	sent    int
}

const floodMessage = "1:flood:Nov 22 15:30:01 web01 sshd[4242]: Failed password for invalid user admin from 203.0.113.77 port 52814 ssh2; the next attempt of that address will be the 17th within ten minutes, at least"

func newEventSource(t *testing.T, agents []keys.Key, addr string) *eventSource {
	f := &eventSource{t: t}
	var err error
	if f.sealer, err = proto.NewSealer(1); err != nil {
		t.Fatal(err)
	}
	for _, k := range agents {
		f.conns = append(f.conns, dialFlood(t, addr))
		f.ciphers = append(f.ciphers, proto.NewCipher(k.CipherKey()))
		f.forms = append(f.forms, proto.Envelope{ID: k.ID, Method: proto.Blowfish, Dialect: proto.OSSEC, Counter: proto.Counter{Global: 1}})
	}
	return f
}

func (f *eventSource) send() {
	n := f.next % len(f.conns)
	f.next++
	form := &f.forms[n]
	form.Counter = form.Counter.Next()
	var err error
	if f.buffer, err = f.sealer.Seal(f.buffer[:0], f.ciphers[n], form, []byte(floodMessage)); err == nil {
		_, err = f.conns[n].Write(f.buffer)
	}
	if err != nil {
		f.t.Error(err)
	}
}

// junkSource sends what nobody with a key would: four kinds, as many of each.
type junkSource struct {
	t         *testing.T
	conns     []net.Conn
	datagrams [][]byte
	next      int
	sent      int
}

func newJunkSource(t *testing.T, agents []keys.Key, addr string) *junkSource {
	f := &junkSource{t: t}
	for range floodSockets {
		f.conns = append(f.conns, dialFlood(t, addr))
	}
	random := rand.New(rand.NewPCG(1, 2))
	sealer, err := proto.NewSealer(1)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(id string, c *proto.Cipher) []byte {
		form := proto.Envelope{ID: id, Method: proto.Blowfish, Dialect: proto.OSSEC, Counter: proto.Counter{Global: random.Uint32N(1 << 30)}}
		d, err := sealer.Seal(nil, c, &form, []byte(floodMessage))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for n := range 1024 {
		k := agents[n%len(agents)]
		wrong := k
		wrong.Secret += strconv.Itoa(n)
		noise := make([]byte, 200)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		whole := seal(k.ID, proto.NewCipher(k.CipherKey()))
		f.datagrams = append(f.datagrams, noise, seal(k.ID, proto.NewCipher(wrong.CipherKey())),
			seal(strconv.Itoa(9_000+n), proto.NewCipher(k.CipherKey())), whole[:random.IntN(len(whole))])
	}
	return f
}

func (f *junkSource) send() {
	d, c := f.datagrams[f.next%len(f.datagrams)], f.conns[f.next/7%len(f.conns)] // each kind from each socket
	f.next++
	if _, err := c.Write(d); err != nil {
		f.t.Error(err)
	}
}

func dialFlood(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// floodLog reads what the manager says of the datagrams that it did not take.
func floodLog(t *testing.T, file string) (refused map[string]int, dropped int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 100 {
		t.Errorf("%d lines were logged: one for each datagram?", n)
	}
	refused = make(map[string]int)
	for line := range strings.Lines(string(text)) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		switch msg := l["msg"].(string); {
		case msg == "stopped":
			for why, n := range l {
				if n, ok := n.(float64); ok {
					refused[why] = int(n)
				}
			}
		case strings.HasPrefix(msg, "the system dropped datagrams"):
			dropped = int(l["total"].(float64))
		}
	}
	return refused, dropped
}

// floodTaken counts the events that came out.
func floodTaken(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte(`"location":"flood"`))
}

// procValue is a number in a file of /proc of a process, in the unit that stands there.
func procValue(t *testing.T, pid int, file, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in /proc/%d/%s", name, pid, file)
	return 0
}

// procTicks is what a process used of the CPUs, in 1/100 s.
func procTicks(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // from the third field on (proc(5))
	f := strings.Fields(after)
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("%q", text)
	}
	return user + system
}
