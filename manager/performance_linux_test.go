package manager

import (
	"bufio"
	"bytes"
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
	"regexp"
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

	"ossecd/manager/sink"
	"ossecd/proto"
)

const (
	performanceEnv      = "OSSECD_PERFORMANCE"       // any value runs the test
	performanceChildEnv = "OSSECD_PERFORMANCE_CHILD" // "manager DIR" or "reader DIR": what a process is to be
	performanceProfile  = "OSSECD_PERFORMANCE_PROFILE"

	performanceRounds  = 7
	performanceBurst   = 4_000
	performanceSockets = 256 // that datagrams come from, so that all receiving sockets get about as many
	performancePace    = 6_000
)

// TestPerformance measures the receive path against the sum of the parts that it cannot do without, and prints the
// tables of docs/performance.md. It wants two cores for itself and two minutes, and runs where OSSECD_PERFORMANCE is set:
//
//	OSSECD_PERFORMANCE=1 go test -run Performance -v ./manager
//
// (-run Performance/Pace is the second table alone; the others are Floor, Cores and Agents.)
//
// The manager is a process of its own, whose CPU is what the kernel counts for it. It is stopped while its sockets are
// filled with a burst of datagrams that were sealed before, and goes on to take them all: so nothing but its work is
// measured, at its highest rate. A figure is the least of several rounds, in which all cases take turns, so that what
// else the machine does falls on none of them alone. OSSECD_PERFORMANCE_PROFILE names a file for a CPU profile of
// Blowfish events at that rate.
func TestPerformance(t *testing.T) {
	if child := os.Getenv(performanceChildEnv); child != "" {
		runPerformanceChild(t, child)
		return
	}
	if os.Getenv(performanceEnv) == "" {
		t.Skip("takes two minutes and two cores; " + performanceEnv + "=1 runs it")
	}
	if file := os.Getenv(performanceProfile); file != "" {
		profileReceiving(t, file)
		return
	}
	t.Run("Floor", measureFloor)
	t.Run("Pace", measurePace)
	t.Run("Cores", measureCores)
	t.Run("Agents", measureAgents)
}

// A form is one of the three that a datagram can have.
type form struct {
	method  proto.Method
	dialect proto.Dialect
}

func (f form) String() string { return fmt.Sprint(f.method, "-", f.dialect) }

var performanceForms = []form{{proto.Blowfish, proto.OSSEC}, {proto.AES, proto.OSSEC}, {proto.AES, proto.Wazuh}}

// least keeps the smallest of the values that it is given.
type least float64

func (l *least) take(v float64) {
	if *l == 0 || v < float64(*l) {
		*l = least(v)
	}
}

// measureFloor prints, for every form and size, the parts, their sum, and what the manager takes.
func measureFloor(t *testing.T) {
	type row struct {
		form                                     form
		size                                     int
		load                                     *load
		parts                                    string // their name in proto's BenchmarkParts
		read, decrypt, inflate, md5, line, write least
		manager, allocs                          least
	}
	var rows []*row
	for _, f := range performanceForms {
		for _, size := range []int{200, 600, 5000} {
			rows = append(rows, &row{form: f, size: size, parts: fmt.Sprintf("%v/%d", f, size), load: newLoad(t, f, size, 1, 3)})
		}
	}
	parts := buildParts(t)
	for range performanceRounds {
		times := parts(t)
		for _, r := range rows {
			r.decrypt.take(times["decrypt/"+r.parts])
			r.inflate.take(times["inflate/"+r.parts])
			r.md5.take(times["md5/"+r.parts])
			line, write := timeLines(t, r.size)
			r.line.take(line)
			r.write.take(write)

			c := startChild(t, "reader", r.load, 0)
			for _, b := range r.load.bursts[1:] {
				r.read.take(c.burst(b).perEvent)
			}
			c.stop()
			c = startChild(t, "manager", r.load, 0)
			c.burst(r.load.bursts[0])
			for _, b := range r.load.bursts[1:] {
				u := c.burst(b)
				r.manager.take(u.perEvent)
				r.allocs.take(u.allocs)
			}
			c.stop()
		}
	}
	fmt.Printf("\nµs of CPU an event; the floor is the sum of the parts.\n\n")
	fmt.Println("| event | UDP read | decrypt | inflate | MD5 | line | write | floor | manager | ratio | allocations |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, r := range rows {
		floor := r.read + r.decrypt + r.inflate + r.md5 + r.line + r.write
		fmt.Printf("| %v, %d B | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | **%.2f** | %.3f |\n", r.form, r.size,
			r.read, r.decrypt, r.inflate, r.md5, r.line, r.write, floor, r.manager, r.manager/floor, r.allocs)
	}
}

// measurePace prints the cost at a rate at which there is time to fall asleep between two datagrams.
func measurePace(t *testing.T) {
	fmt.Printf("\nµs of CPU an event at %d events a second, 200 B. The reader does nothing but wait and read.\n\n", performancePace)
	fmt.Println("| event | reader | manager | difference |\n| --- | ---: | ---: | ---: |")
	for _, f := range performanceForms {
		l := newLoad(t, f, 200, 1, 3)
		var reader, manager least
		for range performanceRounds {
			c := startChild(t, "reader", l, 0)
			reader.take(c.paced(l.bursts[1], performancePace))
			c.stop()
			c = startChild(t, "manager", l, 0)
			c.burst(l.bursts[0])
			manager.take(c.paced(l.bursts[1], performancePace))
			manager.take(c.paced(l.bursts[2], performancePace))
			c.stop()
		}
		fmt.Printf("| %v | %.2f | %.2f | %.2f |\n", f, reader, manager, manager-reader)
	}
}

// measureCores prints the highest rate on one core and on two.
func measureCores(t *testing.T) {
	if runtime.NumCPU() < 2 {
		return
	}
	fmt.Printf("\nEvents a second at the highest rate, 200 B.\n\n")
	fmt.Println("| event | one core | two cores | ratio |\n| --- | ---: | ---: | ---: |")
	for _, f := range performanceForms {
		l := newLoad(t, f, 200, performanceSockets, 10)
		rate := map[int]float64{}
		for range performanceRounds {
			for _, cores := range []int{1, 2} {
				c := startChild(t, "manager", l, cores)
				c.burst(l.bursts[0])
				for three := range slices.Chunk(l.bursts[1:], 3) { // long enough for the start not to matter
					rate[cores] = max(rate[cores], c.burst(slices.Concat(three...)).rate)
				}
				c.stop()
			}
		}
		fmt.Printf("| %v | %.0f | %.0f | %.2f |\n", f, rate[1], rate[2], rate[2]/rate[1])
	}
}

// measureAgents prints what many agents cost.
func measureAgents(t *testing.T) {
	type row struct {
		agents                        int
		load                          *load
		first, burst, start, startCPU least
		idle, with10k, withAll        least
	}
	for _, f := range performanceForms[:2] {
		var rows []*row
		for _, n := range []int{1, 10, 100, 10_000, 100_000} {
			rows = append(rows, &row{agents: n, load: newLoad(t, f, 200, n, 2)})
		}
		for round := range performanceRounds {
			for _, r := range rows {
				if r.agents == 100_000 && round >= 3 {
					continue // these take seconds
				}
				began := time.Now()
				c := startChild(t, "manager", r.load, 0)
				r.start.take(float64(time.Since(began).Milliseconds()))
				before := c.usage()
				r.startCPU.take(before.cpu.Seconds() * 1000)
				r.idle.take(c.memory())
				for n, some := range slices.Collect(slices.Chunk(r.load.hello, 10_000)) {
					if n == 1 {
						r.with10k.take(c.memory())
					}
					c.burst(some)
				}
				r.withAll.take(c.memory())
				r.first.take((c.usage().cpu - before.cpu).Seconds() * 1e6 / float64(r.agents))
				for _, b := range r.load.bursts {
					r.burst.take(c.burst(b).perEvent)
				}
				c.stop()
			}
		}
		fmt.Printf("\n%v, 200 B, by the number of agents, all of them sending in turn.\n\n", f)
		fmt.Println("| agents | µs an event | µs for an agent's first | start-up, ms | its CPU, ms | idle, MB | 10,000 sent, MB | all sent, MB |")
		fmt.Println("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
		for _, r := range rows {
			with10k := ""
			if r.with10k > 0 {
				with10k = fmt.Sprintf("%.0f", r.with10k)
			}
			fmt.Printf("| %d | %.2f | %.1f | %.0f | %.0f | %.0f | %s | %.0f |\n", r.agents, r.burst, r.first, r.start, r.startCPU, r.idle, with10k, r.withAll)
		}
	}
}

// profileReceiving has a manager write a CPU profile while it takes Blowfish events at its highest rate.
func profileReceiving(t *testing.T, file string) {
	l := newLoad(t, performanceForms[0], 200, performanceSockets, 50)
	c := startChild(t, "manager", l, 0)
	c.burst(l.bursts[0])
	c.ask("profile " + file)
	for _, b := range l.bursts[1:] {
		c.burst(b)
	}
	c.ask("profiled")
	c.stop()
	fmt.Println("go tool pprof -top", os.Args[0], file)
}

// A load is datagrams of some agents in turn: a first one of each, and bursts.
type load struct {
	keys   []byte // of client.keys
	hello  [][]byte
	bursts [][][]byte
}

func newLoad(t *testing.T, f form, size, agents, bursts int) *load {
	t.Helper()
	l := &load{hello: make([][]byte, agents), bursts: make([][][]byte, bursts)}
	for i := range l.bursts {
		l.bursts[i] = make([][]byte, performanceBurst)
	}
	var all sync.WaitGroup
	step := runtime.NumCPU()
	for from := range step {
		all.Go(func() {
			s, err := proto.NewSealer(9) // as the stock agents
			if err != nil {
				t.Error(err)
				return
			}
			for n := from; n < agents; n += step {
				k := mustKey(t, benchKey(n+1))
				c := proto.NewCipher(k.CipherKey())
				e := proto.Envelope{ID: k.ID, Method: f.method, Dialect: f.dialect}
				seal := func(i int) []byte {
					e.Counter = e.Counter.Next()
					d, err := s.Seal(nil, c, &e, []byte("1:/var/log/auth.log:"+logLine(i, size)))
					if err != nil {
						t.Error(err)
					}
					return d
				}
				l.hello[n] = seal(n)
				stride := max(agents/performanceBurst, 1)
				for b := range l.bursts {
					for i := range l.bursts[b] {
						if i*stride%agents == n {
							l.bursts[b][i] = seal(b*performanceBurst + i)
						}
					}
				}
			}
		})
	}
	all.Wait()
	var lines bytes.Buffer
	for n := range agents {
		lines.WriteString(benchKey(n+1) + "\n")
	}
	l.keys = lines.Bytes()
	return l
}

// timeLines is what the line of an event costs in µs to make, and to write together with others.
func timeLines(t *testing.T, size int) (line, write float64) {
	const n = performanceBurst
	agent := sink.NewHub(nil, nil).NewAgent("000001", "agent000001", "any")
	from := netip.MustParseAddrPort("127.0.0.1:40112")
	location := []byte("/var/log/auth.log")
	var texts [256][]byte
	for i := range texts {
		texts[i] = []byte(logLine(i, size))
	}
	var b []byte
	var lot sink.Lot
	var e sink.Event
	var form sink.JSON
	now := time.Now()
	for i := range n {
		lot.Clear()
		lot.Event(agent, now, uint64(i), from, '1', location, texts[i%len(texts)])
		events := lot.Events()
		events.Next(&e)
		b = form.Append(b[:0], &e)
	}
	line = time.Since(now).Seconds() * 1e6 / n

	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	piece := bytes.Repeat(b, (64<<10)/len(b))
	now = time.Now()
	for written := 0; written < n*len(b); written += len(piece) {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	return line, time.Since(now).Seconds() * 1e6 / n
}

// buildParts builds proto's benchmarks. What it returns runs BenchmarkParts and gives the least µs of each part.
func buildParts(t *testing.T) func(t *testing.T) map[string]float64 {
	binary := filepath.Join(t.TempDir(), "proto.test")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, "ossecd/proto").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	result := regexp.MustCompile(`(?m)^BenchmarkParts/(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)
	return func(t *testing.T) map[string]float64 {
		// Runs as long as the manager's bursts: of shorter ones more would be left alone on a machine with other work,
		// and the least of them would be less than anything longer can reach.
		out, err := exec.Command(binary, "-test.run", "^$", "-test.bench", "Parts", "-test.benchtime", "4000x", "-test.count", "2").Output()
		if err != nil {
			t.Fatal(err)
		}
		times := make(map[string]float64)
		for _, m := range result.FindAllSubmatch(out, -1) {
			ns, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				t.Fatal(err)
			}
			if was, ok := times[string(m[1])]; !ok || ns/1000 < was {
				times[string(m[1])] = ns / 1000
			}
		}
		return times
	}
}

// runPerformanceChild is a manager, or what only reads its sockets. It says where it listens, and answers questions
// until its standard input ends.
func runPerformanceChild(t *testing.T, what string) {
	kind, dir, _ := strings.Cut(what, " ")
	log := slog.New(slog.DiscardHandler)
	conns, err := listen("0.0.0.0:0", log)
	if err != nil {
		t.Fatal(err)
	}
	buffer := math.MaxInt
	for _, c := range conns {
		buffer = min(buffer, c.(*udpConn).buffer)
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
				var ps [batchSize]packet
				for {
					n, err := batches(c).readBatch(ps[:])
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
	closeAll(conns)
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

// startChild starts a process on some cores, or on all where cores is 0.
func startChild(t *testing.T, kind string, l *load, cores int) *child {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"client.keys": l.keys, "events.json": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &child{t: t, cmd: exec.Command(os.Args[0], "-test.run", "^TestPerformance$")}
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

// startOnCores starts a process that may use only so many cores: it inherits what its starter may use.
func startOnCores(cmd *exec.Cmd, cores int) error {
	if cores == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, during unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for n := len(before)*64 - 1; n >= 0 && during.Count() < cores; n-- {
		if before.IsSet(n) {
			during.Set(n)
		}
	}
	if err := unix.SchedSetaffinity(0, &during); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
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
func (c *child) burst(datagrams [][]byte) (total cost) {
	c.t.Helper()
	n, rates := 0, 0.0
	before := c.usage()
	for len(datagrams) > 0 {
		if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // for the signal to arrive
		room, here := c.buffer*len(c.sockets)/(len(c.sockets)+64), 0
		for _, d := range datagrams {
			if room -= 2*len(d) + 1500; room < 0 { // what the system counts for it
				break
			}
			c.send(d)
			here++
		}
		datagrams = datagrams[here:]
		n += here
		if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			c.t.Fatal(err)
		}
		rates += c.wait(here) * float64(here)
	}
	after := c.usage()
	if c.events == nil && after.reads != c.sent {
		c.t.Fatalf("%d of %d datagrams were read", after.reads, c.sent)
	}
	return cost{float64((after.cpu - before.cpu).Nanoseconds()) / 1e3 / float64(n), float64(after.allocs-before.allocs) / float64(n), rates / float64(n)}
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

// wait returns once n events were written; the rate is that at which the first four fifths of them were taken, for
// as long all receiving sockets have some.
func (c *child) wait(n int) (rate float64) {
	c.t.Helper()
	if c.events == nil {
		time.Sleep(30 * time.Millisecond)
		return 0
	}
	var text []byte
	size := int64(-1)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// Reading would take a core from the manager: not before the file has stopped growing.
		info, err := c.events.Stat()
		if err != nil {
			c.t.Fatal(err)
		}
		if info.Size() != size {
			size = info.Size()
			continue
		}
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
	last := len(at) * 4 / 5
	if d := at[last].Sub(at[0]).Seconds(); d > 0 {
		rate = float64(last) / d
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
