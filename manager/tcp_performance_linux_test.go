package manager

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ossecd/proto"
	"ossecd/testdata/program"
)

// binaryOf builds nothing: it is the program that OSSECD_TCP names.
func binaryOf(t *testing.T) string {
	binary := os.Getenv("OSSECD_TCP")
	if binary == "" {
		t.Skip("set OSSECD_TCP to the program, as in OSSECD_TCP=$PWD/ossecd, to measure connections")
	}
	return binary
}

// startBinary runs a manager, and tells where it listens: on UDP and on TCP.
func startBinary(t *testing.T, binary, dir string) (p *program.Process, udp, tcp string) {
	t.Helper()
	p, err := program.Start(binary, dir, "manager", os.Environ(), "manager", "--keys", "client.keys", "--state", "m", "--events", "/dev/null",
		"--listen", "udp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	found, err := program.MatchFile(filepath.Join(dir, "manager.err"), regexp.MustCompile(`msg=listening addr=(\S+)`), 2)
	if err != nil {
		t.Fatal(err)
	}
	return p, string(found[0][1]), string(found[1][1])
}

// residentKB is the memory of a process.
func residentKB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// cpuOf is the time that a process has used.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestMemoryOfIdleConnections says what a connection of an agent that is idle takes in the process.
func TestMemoryOfIdleConnections(t *testing.T) {
	binary := binaryOf(t)
	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	limit.Cur = limit.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	const most = 10_000
	if limit.Cur < most+100 {
		t.Skipf("%d open files are too few", limit.Cur)
	}
	dir := t.TempDir()
	var lines strings.Builder
	for i := range most {
		fmt.Fprintf(&lines, "%06d agent%06d any %064x\n", i+1, i+1, i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.keys"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _, tcp := startBinary(t, binary, dir)
	pid := p.Cmd.Process.Pid
	time.Sleep(2 * time.Second)
	sealer, err := proto.NewSealer(1)
	if err != nil {
		t.Fatal(err)
	}
	before := residentKB(t, pid)
	t.Logf("no connection: %d kB, with %d keys", before, most)
	var open []net.Conn
	buf := make([]byte, 1<<16)
	for _, n := range []int{1_000, 10_000} {
		for len(open) < n {
			conn, err := net.Dial("tcp", tcp)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			open = append(open, conn)
			id := fmt.Sprintf("%06d", len(open))
			k := mustKey(t, strings.SplitN(lines.String(), "\n", len(open)+1)[len(open)-1])
			d, err := sealer.Seal(nil, proto.NewCipher(k.CipherKey()), &proto.Envelope{ID: id, Method: proto.AES, Dialect: proto.Wazuh, Counter: proto.Counter{Global: 1, Local: 1}}, []byte(proto.Startup))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			packets{conn}.Write(d)
			if _, err := (packets{conn}).Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		after := residentKB(t, pid)
		t.Logf("%d connections: %d kB, %.1f kB each", n, after, float64(after-before)/float64(n))
	}
}

// TestCPUOverTCP compares what an event costs a manager over UDP and over TCP, in turns.
func TestCPUOverTCP(t *testing.T) {
	binary := binaryOf(t)
	dir := t.TempDir()
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "%03d agent%03d any %064x\n", i+1, i+1, i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.keys"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p, udp, tcp := startBinary(t, binary, dir)
	pid := p.Cmd.Process.Pid
	const events, rate = 200_000, 20_000
	cost := map[string]time.Duration{}
	const rounds = 1
	for round := range 2 * rounds {
		to := []string{"udp://" + udp, "tcp://" + tcp}[round%2]
		before := cpuOf(t, pid)
		load, err := program.Start(binary, dir, "load", os.Environ(), "send-test", "--keys", "client.keys", "--manager", to, "--agents", "100",
			"--count", strconv.Itoa(events), "--rate", strconv.Itoa(rate), "Nov 22 15:24:33 web01 sshd[4711]: Failed password for invalid user admin from 203.0.113.9 port 40112 ssh2")
		if err != nil {
			t.Fatal(err)
		}
		if !load.Wait(2 * time.Minute) {
			load.Kill()
			t.Fatal("the load does not end")
		}
		if !load.Cmd.ProcessState.Success() {
			out, _ := os.ReadFile(filepath.Join(dir, "load.err"))
			t.Fatalf("%s", out)
		}
		used := cpuOf(t, pid) - before
		cost[to[:3]] += used
		t.Logf("%s: %.2f µs an event", to[:3], used.Seconds()*1e6/events)
	}
	t.Logf("%d cores, 100 agents, %d events a second: over TCP an event costs %.2f times what it costs over UDP", runtime.NumCPU(), rate, float64(cost["tcp"])/float64(cost["udp"]))
}
