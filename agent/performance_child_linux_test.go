package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ossecd/keys"
	"ossecd/proto"
)

// runPerformanceChild is an agent, or what measures the parts of its work. It answers questions until its standard input
// ends.
func runPerformanceChild(t *testing.T, child string) {
	var what, dir, method, kind, address string
	if _, err := fmt.Sscan(child, &what, &dir, &method, &kind, &address); err != nil {
		t.Fatal(err)
	}
	cfg := Config{KeyText: anyKey, State: filepath.Join(dir, "state"), Managers: []string{address}, Intake: Intake{Files: []string{performanceFile(dir)}},
		Delivery: Delivery{SpoolSize: defaultSpool << 20, SpoolSync: defaultSpoolSync, ProbeInterval: defaultProbe, ResendMax: defaultResend}}
	if method == proto.AES.String() {
		cfg.Method = proto.AES
	}
	if what == "parts" {
		timeParts(t, &cfg, kind)
		return
	}
	ctx, stop := context.WithCancel(t.Context())
	var agent sync.WaitGroup
	agent.Go(func() {
		if err := Run(ctx, cfg, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
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
		fmt.Println(cpu.Utime.Nano()+cpu.Stime.Nano(), mem.Mallocs)
	}
	stop()
	agent.Wait()
}

// performanceChild is such a process, as the test sees it.
type performanceChild struct {
	t     *testing.T
	lines performanceCase
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	log   *os.File
	conn  *net.UDPConn // of its manager
	ended chan struct{}

	events  atomic.Int64 // that came; for parts, datagrams
	last    atomic.Int64 // when the last one did, Unix nanoseconds
	greeted chan struct{}
}

func startPerformanceChild(t *testing.T, what string, lines performanceCase) *performanceChild {
	t.Helper()
	dir := t.TempDir()
	c := &performanceChild{t: t, lines: lines, ended: make(chan struct{}), greeted: make(chan struct{}, 1)}
	var err error
	if c.log, err = os.Create(performanceFile(dir)); err != nil {
		t.Fatal(err)
	}
	if c.conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	unpin := pin(t, 0)
	go func() {
		defer close(c.ended)
		runtime.LockOSThread()
		c.manage(what == "agent", lines.method)
	}()
	unpin()
	c.cmd = exec.Command(os.Args[0], "-test.run", "^TestPerformance$")
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %v %s %v", performanceChildEnv, what, dir, lines.method, lines.kind, c.conn.LocalAddr()))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	unpin = pin(t, 1)
	err = c.cmd.Start()
	unpin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	if what == "agent" {
		select {
		case <-c.greeted:
		case <-time.After(10 * time.Second):
			t.Fatal("the agent does not come")
		}
		time.Sleep(300 * time.Millisecond) // until it has looked at its file
	}
	return c
}

// pin has this goroutine's thread, and the processes that it starts, use the core of this number only, until undo is called.
func pin(t *testing.T, core int) (undo func()) {
	t.Helper()
	runtime.LockOSThread()
	var before, during unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for n := range len(before) * 64 {
		if before.IsSet(n) {
			if core == 0 {
				during.Set(n)
				break
			}
			core--
		}
	}
	if during.Count() == 0 {
		t.Fatal("there is one core alone")
	}
	if err := unix.SchedSetaffinity(0, &during); err != nil {
		t.Fatal(err)
	}
	return func() {
		unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}
}

// manage is the manager of an agent, or the one who takes what parts send.
func (c *performanceChild) manage(opens bool, method proto.Method) {
	key, err := keys.ParseLine(anyKey)
	if err != nil {
		c.t.Error(err)
		return
	}
	sealer, err := proto.NewSealer(1)
	if err != nil {
		c.t.Error(err)
		return
	}
	opener, cipher := proto.NewOpener(), proto.NewCipher(key.CipherKey())
	envelope := proto.Envelope{Method: method, Dialect: proto.OSSEC, Counter: proto.Counter{Global: uint32(time.Now().Unix())}}
	buf := make([]byte, 1<<16)
	var answer []byte
	for {
		n, from, err := c.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if !opens {
			c.events.Add(1)
			continue
		}
		frame, err := proto.ParseFrame(buf[:n])
		if err != nil {
			c.t.Error(err)
			return
		}
		m, err := opener.Open(cipher, frame, proto.OSSEC)
		if err != nil {
			c.t.Error(err)
			return
		}
		if !proto.IsControl(m.Payload) {
			if m.Payload[2] == '/' {
				c.last.Store(time.Now().UnixNano())
				c.events.Add(1)
			}
			continue
		}
		envelope.Counter = envelope.Counter.Next()
		if answer, err = sealer.Seal(answer[:0], cipher, &envelope, []byte(proto.Ack)); err != nil {
			c.t.Error(err)
			return
		}
		c.conn.WriteToUDPAddrPort(answer, from)
		select {
		case c.greeted <- struct{}{}:
		default:
		}
	}
}

func (c *performanceChild) stop() {
	c.t.Helper()
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatal(err)
	}
	c.conn.Close()
	<-c.ended
	c.log.Close()
}

// ask returns the CPU that the process used so far, and its allocations.
func (c *performanceChild) ask(question string) (cpu time.Duration, allocs int) {
	c.t.Helper()
	fmt.Fprintln(c.in, question)
	if _, err := fmt.Fscanln(c.out, &cpu, &allocs); err != nil {
		c.t.Fatal(err)
	}
	return cpu, allocs
}

// performanceCost is what the lines of a round cost.
type performanceCost struct {
	µs, allocs float64 // a line
	rate       float64 // lines a second, from the first one's write to the last one's arrival
}

// follow writes lines to the file, all at once, and waits until the last has come.
func (c *performanceChild) follow(n int) performanceCost {
	c.t.Helper()
	text := performanceText(c.lines.kind, n)
	return c.measure(n, func() { c.write(text) })
}

// pace writes lines at a rate a second.
func (c *performanceChild) pace(n, rate int) performanceCost {
	c.t.Helper()
	some := int(float64(rate) * performanceEvery.Seconds())
	n -= n % some
	text := performanceText(c.lines.kind, n)
	return c.measure(n, func() {
		began := time.Now()
		for i := 0; i < n; i += some {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			c.write(text[i*performanceLine:][:some*performanceLine])
		}
	})
}

func (c *performanceChild) write(text []byte) {
	c.t.Helper()
	if _, err := c.log.Write(text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *performanceChild) measure(n int, write func()) performanceCost {
	c.t.Helper()
	want := c.events.Load() + int64(n)
	cpu, allocs := c.ask("usage")
	began := time.Now()
	write()
	for c.events.Load() < want {
		if time.Since(began) > 20*time.Second {
			c.t.Fatalf("%d of %d lines did not come", want-c.events.Load(), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Unix(0, c.last.Load()).Sub(began)
	cpu2, allocs2 := c.ask("usage")
	return performanceCost{
		µs:     float64((cpu2 - cpu).Nanoseconds()) / 1e3 / float64(n),
		allocs: float64(allocs2-allocs) / float64(n),
		rate:   float64(n) / took.Seconds(),
	}
}
