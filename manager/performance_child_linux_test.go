package manager

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ossecd/manager/listen"
)

// runPerformanceChild is a manager, or what only reads its sockets. It says where it listens, and answers questions
// until its standard input ends.
func runPerformanceChild(t *testing.T, what string) {
	kind, dir, _ := strings.Cut(what, " ")
	log := slog.New(slog.DiscardHandler)
	conns, err := listen.Open("0.0.0.0:0", log)
	if err != nil {
		t.Fatal(err)
	}
	buffer := math.MaxInt
	for _, c := range conns {
		buffer = min(buffer, listen.Buffer(c))
	}
	ctx, stop := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var reads atomic.Int64
	var all sync.WaitGroup
	if kind == "manager" {
		cfg := Config{Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Events: filepath.Join(dir, "events.json"),
			Conns: conns, Ready: func([]netip.AddrPort) { close(ready) }}
		all.Go(func() {
			if err := Run(ctx, cfg, log); err != nil {
				t.Error(err)
			}
		})
	} else {
		for _, c := range conns {
			all.Go(func() {
				var ps [listen.BatchSize]listen.Datagram
				for {
					n, err := listen.Batches(c).ReadBatch(ps[:])
					if err != nil {
						return
					}
					reads.Add(int64(n))
				}
			})
		}
		close(ready)
	}
	<-ready
	fmt.Println(conns[0].LocalAddr().Port(), buffer)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		question, file, _ := strings.Cut(in.Text(), " ")
		switch question {
		case "profile":
			f, err := os.Create(file)
			if err == nil {
				err = pprof.StartCPUProfile(f)
			}
			if err != nil {
				t.Fatal(err)
			}
		case "profiled":
			pprof.StopCPUProfile()
		}
		var cpu syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &cpu); err != nil {
			t.Fatal(err)
		}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		fmt.Println(cpu.Utime.Nano()+cpu.Stime.Nano(), mem.Mallocs, reads.Load())
	}
	stop()
	listen.CloseAll(conns)
	all.Wait()
}

// child is such a process, as the test sees it.
type child struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	buffer  int      // of each of its sockets, in bytes
	events  *os.File // what a manager wrote; nil for a reader
	sockets []net.Conn
	sent    int
}

// startChild starts a process on the cores of these numbers, or on all where there are none.
func startChild(t *testing.T, kind string, l *load, cores ...int) *child {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"client.keys": l.keys, "events.json": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &child{t: t, cmd: exec.Command(cmp.Or(l.program, os.Args[0]), "-test.run", "^TestPerformance$")}
	c.cmd.Env = append(os.Environ(), performanceChildEnv+"="+kind+" "+dir)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := startOnCores(c.cmd, cores); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	var port int
	if _, err := fmt.Fscanln(c.out, &port, &c.buffer); err != nil {
		t.Fatal(err)
	}
	if kind == "manager" {
		if c.events, err = os.Open(filepath.Join(dir, "events.json")); err != nil {
			t.Fatal(err)
		}
	}
	for range performanceSockets {
		s, err := net.Dial("udp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			t.Fatal(err)
		}
		c.sockets = append(c.sockets, s)
	}
	return c
}

// startOnCores starts a process that may use only the cores of these numbers: it inherits what its starter may use.
func startOnCores(cmd *exec.Cmd, cores []int) error {
	if len(cores) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, during unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for n, core := 0, 0; n < len(before)*64; n++ {
		if before.IsSet(n) {
			if slices.Contains(cores, core) {
				during.Set(n)
			}
			core++
		}
	}
	if err := unix.SchedSetaffinity(0, &during); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
}

// stolen is how long, in seconds of all cores together, the host of a virtual machine let it wait for a core so far.
func stolen(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(text)
	if len(fields) < 9 {
		t.Fatalf("/proc/stat: %.80q", text)
	}
	ticks, err := strconv.Atoi(string(fields[8]))
	if err != nil {
		t.Fatal(err)
	}
	return float64(ticks) / 100
}

func (c *child) stop() {
	c.t.Helper()
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range c.sockets {
		s.Close()
	}
	if c.events != nil {
		c.events.Close()
	}
}

// memory is what the process has resident, in MB.
func (c *child) memory() float64 {
	return float64(procValue(c.t, c.cmd.Process.Pid, "status", "VmRSS:")) / 1024
}

// usage is what the process used so far.
type usage struct {
	cpu    time.Duration
	allocs int
	reads  int
}

func (c *child) usage() usage { return c.ask("usage") }

func (c *child) ask(question string) usage {
	c.t.Helper()
	fmt.Fprintln(c.in, question)
	var u usage
	if _, err := fmt.Fscanln(c.out, &u.cpu, &u.allocs, &u.reads); err != nil {
		c.t.Fatal(err)
	}
	return u
}

// cost is what the events of a burst cost.
type cost struct {
	perEvent float64 // µs of CPU
	allocs   float64 // per event
	rate     float64 // events a second of time, by the manager's own time stamps
}

// burst gives the process datagrams all at once, as many as its buffers hold, and waits until it took them.
func (c *child) burst(datagrams [][]byte) cost {
	c.t.Helper()
	return burst([]*child{c}, datagrams)
}

// burst gives each of some processes the datagrams, and lets all go on at once. The rate is their sum, the rest
// their mean.
func burst(cs []*child, datagrams [][]byte) (total cost) {
	t := cs[0].t
	t.Helper()
	n, rates := 0, 0.0
	before := make([]usage, len(cs))
	for i, c := range cs {
		before[i] = c.usage()
	}
	for len(datagrams) > 0 {
		here := len(datagrams)
		for _, c := range cs {
			room := c.buffer * len(c.sockets) / (len(c.sockets) + 64)
			for i, d := range datagrams[:here] {
				if room -= 2*len(d) + 1500; room < 0 { // what the system counts for it
					here = i
					break
				}
			}
		}
		for _, c := range cs {
			if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Millisecond) // for the signal to arrive
		for _, c := range cs {
			for _, d := range datagrams[:here] {
				c.send(d)
			}
		}
		datagrams = datagrams[here:]
		n += here
		for _, c := range cs {
			if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range cs {
			c.settle()
		}
		for _, c := range cs {
			rates += c.wait(here) * float64(here)
		}
	}
	for i, c := range cs {
		after := c.usage()
		if c.events == nil && after.reads != c.sent {
			t.Fatalf("%d of %d datagrams were read", after.reads, c.sent)
		}
		total.perEvent += float64((after.cpu - before[i].cpu).Nanoseconds()) / 1e3 / float64(n*len(cs))
		total.allocs += float64(after.allocs-before[i].allocs) / float64(n*len(cs))
	}
	total.rate = rates / float64(n)
	return total
}

// send sends each agent's datagrams, which come in turn, from the same sockets.
func (c *child) send(d []byte) {
	c.t.Helper()
	n, _ := strconv.Atoi(string(d[1:7])) // the agent's ID
	if _, err := c.sockets[n%len(c.sockets)].Write(d); err != nil {
		c.t.Fatal(err)
	}
	c.sent++
}

// settle returns once no more events are written.
func (c *child) settle() {
	c.t.Helper()
	if c.events == nil {
		time.Sleep(30 * time.Millisecond)
		return
	}
	for size := int64(-1); ; time.Sleep(10 * time.Millisecond) {
		info, err := c.events.Stat()
		if err != nil {
			c.t.Fatal(err)
		}
		if info.Size() == size {
			return
		}
		size = info.Size()
	}
}

// wait returns once n events were written; the rate is that of the middle three fifths of them, when all receivers run
// and their sockets still have some.
func (c *child) wait(n int) (rate float64) {
	c.t.Helper()
	c.settle() // reading before would take a core from the manager
	if c.events == nil {
		return 0
	}
	var text []byte
	for deadline := time.Now().Add(10 * time.Second); ; c.settle() {
		more, err := io.ReadAll(c.events)
		if err != nil {
			c.t.Fatal(err)
		}
		if text = append(text, more...); bytes.Count(text, []byte{'\n'}) >= n {
			break
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d events came out", bytes.Count(text, []byte{'\n'}), n)
		}
	}
	var at []time.Time
	for line := range bytes.Lines(text) {
		stamp, _, _ := strings.Cut(strings.TrimPrefix(string(line), `{"timestamp":"`), `"`)
		when, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			c.t.Fatal(err)
		}
		at = append(at, when)
	}
	slices.SortFunc(at, time.Time.Compare)
	first, last := len(at)/5, len(at)*4/5
	if d := at[last].Sub(at[first]).Seconds(); d > 0 {
		rate = float64(last-first) / d
	}
	return rate
}

// paced sends datagrams at a rate a second and returns the CPU of the process in µs an event.
func (c *child) paced(datagrams [][]byte, rate int) float64 {
	c.t.Helper()
	before := c.usage()
	began := time.Now()
	for i, d := range datagrams {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		c.send(d)
	}
	c.wait(len(datagrams))
	return float64((c.usage().cpu - before.cpu).Nanoseconds()) / 1e3 / float64(len(datagrams))
}
