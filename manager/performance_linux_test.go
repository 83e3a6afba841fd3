package manager

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ossecd/manager/sink"
	"ossecd/proto"
)

const (
	performanceEnv      = "OSSECD_PERFORMANCE"        // any value runs the test
	performanceChildEnv = "OSSECD_PERFORMANCE_CHILD"  // "manager DIR" or "reader DIR": what a process is to be
	performanceBeside   = "OSSECD_PERFORMANCE_BESIDE" // a test program of another version, for measureBeside
	performanceProfile  = "OSSECD_PERFORMANCE_PROFILE"

	performanceRounds  = 7
	coresRounds        = 15
	performanceBurst   = 4_000
	performanceSockets = 256 // that datagrams come from, so that all receiving sockets get about as many
	performancePace    = 6_000
)

// TestPerformance measures the receive path against the sum of the parts that it cannot do without, and prints the
// tables of docs/performance.md. It wants two cores for itself and five minutes, and runs where OSSECD_PERFORMANCE is set:
//
//	OSSECD_PERFORMANCE=1 go test -count=1 -run Performance -v ./manager
//
// (-run Performance/Pace is the second table alone; the others are Floor, Cores and Agents.)
//
// The manager is a process of its own, whose CPU is what the kernel counts for it. It is stopped while its sockets are
// filled with a burst of datagrams that were sealed before, and goes on to take them all: so nothing but its work is
// measured, at its highest rate. A figure is the least or the median of several rounds, in which all cases take turns, so
// that what else the machine does falls on none of them alone. OSSECD_PERFORMANCE_PROFILE names a file for a CPU profile of
// Blowfish events at that rate.
func TestPerformance(t *testing.T) {
	if child := os.Getenv(performanceChildEnv); child != "" {
		runPerformanceChild(t, child)
		return
	}
	if os.Getenv(performanceEnv) == "" {
		t.Skip("takes five minutes and two cores; " + performanceEnv + "=1 runs it")
	}
	if file := os.Getenv(performanceProfile); file != "" {
		profileReceiving(t, file)
		return
	}
	if before := os.Getenv(performanceBeside); before != "" {
		measureBeside(t, before)
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

// measureFloor prints, for every form and size, the parts, their sum, and what the manager takes. In each round a
// figure is the least of two; what is printed is the median of the rounds, and of their ratios.
func measureFloor(t *testing.T) {
	type row struct {
		form                          form
		size                          int
		load                          *load
		parts                         [6][]float64 // UDP read, decrypt, inflate, MD5, line, write
		floor, manager, ratio, allocs []float64
	}
	var rows []*row
	for _, f := range performanceForms {
		for _, size := range []int{200, 600, 5000} {
			rows = append(rows, &row{form: f, size: size, load: newLoad(t, f, size, 1, 3)})
		}
	}
	timeParts := buildParts(t)
	for range performanceRounds {
		for _, r := range rows {
			var read, manager, line, write, allocs least
			for range 2 {
				l, w := timeLines(t, r.size)
				line.take(l)
				write.take(w)
			}
			c := startChild(t, "reader", r.load)
			for _, b := range r.load.bursts[1:] {
				read.take(c.burst(b).perEvent)
			}
			c.stop()
			c = startChild(t, "manager", r.load)
			c.burst(r.load.bursts[0])
			for _, b := range r.load.bursts[1:] {
				u := c.burst(b)
				manager.take(u.perEvent)
				allocs.take(u.allocs)
			}
			c.stop()
			times := timeParts(t, fmt.Sprintf("%v/%d", r.form, r.size))
			floor := 0.0
			for i, part := range []float64{float64(read), times["decrypt"], times["inflate"], times["md5"], float64(line), float64(write)} {
				r.parts[i] = append(r.parts[i], part)
				floor += part
			}
			r.floor = append(r.floor, floor)
			r.manager = append(r.manager, float64(manager))
			r.ratio = append(r.ratio, float64(manager)/floor)
			r.allocs = append(r.allocs, float64(allocs))
		}
	}
	fmt.Printf("\nµs of CPU an event; the floor is the sum of the parts.\n\n")
	fmt.Println("| event | UDP read | decrypt | inflate | MD5 | line | write | floor | manager | ratio | allocations |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, r := range rows {
		fmt.Printf("| %v, %d B |", r.form, r.size)
		for _, part := range r.parts {
			fmt.Printf(" %.2f |", median(part))
		}
		fmt.Printf(" %.2f | %.2f | **%.2f** | %.3f |\n", median(r.floor), median(r.manager), median(r.ratio), median(r.allocs))
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
			c := startChild(t, "reader", l)
			reader.take(c.paced(l.bursts[1], performancePace))
			c.stop()
			c = startChild(t, "manager", l)
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
	fmt.Printf("\nEvents a second at the highest rate, 200 B, the medians of all rounds, and of the ratios within each.\n\n")
	fmt.Println("| event | one core | two cores | ratio | two managers of one core | share of it | stolen by the host |")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, f := range performanceForms {
		l := newLoad(t, f, 200, performanceSockets, 10)
		var one, two, pair, ratio, share []float64
		before, began := stolen(t), time.Now()
		for range coresRounds {
			for _, turn := range []struct {
				rates *[]float64
				cores [][]int // of each manager
			}{{&one, [][]int{{1}}}, {&two, [][]int{{0, 1}}}, {&pair, [][]int{{0}, {1}}}} {
				var managers []*child
				for _, cores := range turn.cores {
					c := startChild(t, "manager", l, cores...)
					c.burst(l.bursts[0])
					managers = append(managers, c)
				}
				var rates []float64
				for three := range slices.Chunk(l.bursts[1:], 3) { // long enough for the start not to matter
					rates = append(rates, burst(managers, slices.Concat(three...)).rate)
				}
				*turn.rates = append(*turn.rates, median(rates))
				for _, c := range managers {
					c.stop()
				}
			}
			now := len(one) - 1
			ratio = append(ratio, two[now]/one[now])
			share = append(share, two[now]/pair[now])
		}
		fmt.Printf("| %v | %.0f | %.0f | **%.2f** | %.0f | %.2f | %.0f %% |\n", f, median(one), median(two), median(ratio), median(pair), median(share),
			100*(stolen(t)-before)/time.Since(began).Seconds()/float64(runtime.NumCPU()))
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
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
				c := startChild(t, "manager", r.load)
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
	c := startChild(t, "manager", l)
	c.burst(l.bursts[0])
	c.ask("profile " + file)
	for _, b := range l.bursts[1:] {
		c.burst(b)
	}
	c.ask("profiled")
	c.stop()
	fmt.Println("go tool pprof -top", os.Args[0], file)
}

// timeLines is what the line of an event costs in µs to make, and to write together with others.
func timeLines(t *testing.T, size int) (line, write float64) {
	const n = performanceBurst
	agent := sink.NewAgent("000001", "agent000001", "any")
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

// buildParts builds proto's benchmarks. What it returns runs BenchmarkParts for events of one form and size and gives
// the least µs of each part in three turns, of which the first warms up, as the first burst does for the manager.
func buildParts(t *testing.T) func(t *testing.T, event string) map[string]float64 {
	binary := filepath.Join(t.TempDir(), "proto.test")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, "ossecd/proto").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	result := regexp.MustCompile(`(?m)^BenchmarkParts/(\w+)/\S+\s+\d+\s+([0-9.]+) ns/op`)
	return func(t *testing.T, event string) map[string]float64 {
		// Runs as long as the manager's bursts: of shorter ones more would be left alone on a machine with other work,
		// and the least of them would be less than anything longer can reach.
		out, err := exec.Command(binary, "-test.run", "^$", "-test.bench", "^BenchmarkParts$/^\\w+$/^"+strings.ReplaceAll(event, "/", "$/^")+"$",
			"-test.benchtime", "4000x", "-test.count", "3").Output()
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
		if len(times) != 3 {
			t.Fatalf("of %s there are %d parts\n%s", event, len(times), out)
		}
		return times
	}
}
