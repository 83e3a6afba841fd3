package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ossecd/proto"
)

const (
	performanceEnv      = "OSSECD_PERFORMANCE"       // any value runs the test
	performanceChildEnv = "OSSECD_PERFORMANCE_CHILD" // "agent DIR METHOD KIND ADDRESS" or "parts …": what a process is to be
	performanceProfile  = "OSSECD_PERFORMANCE_PROFILE"

	performanceRounds = 7
	performanceLines  = 100_000 // of a round at the highest rate
	performancePaced  = 5_000   // of a round at a pace
	performanceLine   = 200     // bytes, with its newline
	performanceEvery  = 10 * time.Millisecond
)

// TestPerformance measures an agent that follows a file against the sum of the parts that it cannot do without, and prints
// the tables of docs/performance.md. It wants two cores for itself and three minutes, and runs where OSSECD_PERFORMANCE is set:
//
//	OSSECD_PERFORMANCE=1 go test -count=1 -run Performance -v ./agent
//
// (-run Performance/Pace is the second table alone; the other is Floor.)
//
// The agent is a process of its own on the second core, with its spool; its CPU is what the kernel counts for it. The test
// is its manager, on the first core: it opens each datagram, counts the events and answers keepalives. The parts are
// measured in a process on the second core, too, over the same lines. OSSECD_PERFORMANCE_PROFILE names a file for a CPU
// profile of Blowfish at the highest rate.
func TestPerformance(t *testing.T) {
	if child := os.Getenv(performanceChildEnv); child != "" {
		runPerformanceChild(t, child)
		return
	}
	if os.Getenv(performanceEnv) == "" {
		t.Skip("takes three minutes and two cores; " + performanceEnv + "=1 runs it")
	}
	if file := os.Getenv(performanceProfile); file != "" {
		c := startPerformanceChild(t, "agent", performanceCases[0])
		c.follow(performanceLines)
		c.ask("profile " + file)
		for range 5 {
			c.follow(performanceLines)
		}
		c.ask("profiled")
		c.stop()
		fmt.Println("go tool pprof -top", os.Args[0], file)
		return
	}
	t.Run("Floor", measurePerformanceFloor)
	t.Run("Pace", measurePerformancePace)
}

// A performanceCase is a cipher, and lines of a kind.
type performanceCase struct {
	method proto.Method
	kind   string // "syslog", in which nothing is repeated, or "json"
}

func (c performanceCase) String() string { return fmt.Sprint(c.method, ", ", c.kind) }

var performanceCases = []performanceCase{{proto.Blowfish, "syslog"}, {proto.Blowfish, "json"}, {proto.AES, "syslog"}, {proto.AES, "json"}}

// measurePerformanceFloor prints the parts, their sum, what the agent takes, and the rate at which it follows a file. Printed is the median of
// the rounds, and of the ratios within each.
func measurePerformanceFloor(t *testing.T) {
	type row struct {
		parts                             map[string][]float64
		floor, agent, ratio, rate, allocs []float64
	}
	rows := map[performanceCase]*row{}
	for _, m := range performanceCases {
		rows[m] = &row{parts: map[string][]float64{}}
	}
	for range performanceRounds {
		for _, m := range performanceCases {
			r := rows[m]
			c := startPerformanceChild(t, "parts", m)
			floor := 0.0
			for name, µs := range c.parts() {
				r.parts[name] = append(r.parts[name], µs)
				floor += µs
			}
			c.stop()
			c = startPerformanceChild(t, "agent", m)
			c.follow(performanceLines / 10) // warms up
			cost := c.follow(performanceLines)
			c.stop()
			r.floor = append(r.floor, floor)
			r.agent = append(r.agent, cost.µs)
			r.ratio = append(r.ratio, cost.µs/floor)
			r.rate = append(r.rate, cost.rate)
			r.allocs = append(r.allocs, cost.allocs)
		}
	}
	fmt.Printf("\nµs of CPU a line of %d bytes; the floor is the sum of the parts. The rate is that of one core.\n\n| |", performanceLine)
	for _, name := range partNames {
		fmt.Printf(" %s |", name)
	}
	fmt.Print(" floor | agent | ratio | allocations | lines a second | MB/s |\n| --- |")
	for range len(partNames) + 6 {
		fmt.Print(" ---: |")
	}
	fmt.Println()
	for _, m := range performanceCases {
		r := rows[m]
		fmt.Printf("| %v |", m)
		for _, name := range partNames {
			fmt.Printf(" %.2f |", median(r.parts[name]))
		}
		rate := median(r.rate)
		fmt.Printf(" %.2f | %.2f | **%.2f** | %.3f | %.0f | %.1f |\n", median(r.floor), median(r.agent), median(r.ratio), median(r.allocs), rate, rate*performanceLine/1e6)
	}
}

// measurePerformancePace prints the cost where there is time to fall asleep between two lots of lines.
func measurePerformancePace(t *testing.T) {
	rates := []int{2_000, 5_000, 20_000}
	fmt.Printf("\nµs of CPU a line of %d bytes, written every %v.\n\n| |", performanceLine, performanceEvery)
	for _, rate := range rates {
		fmt.Printf(" %d lines a second |", rate)
	}
	fmt.Print("\n| --- |")
	for range rates {
		fmt.Print(" ---: |")
	}
	fmt.Println()
	for _, m := range []performanceCase{performanceCases[0], performanceCases[2]} {
		costs := map[int][]float64{}
		for range 3 {
			for _, rate := range rates {
				c := startPerformanceChild(t, "agent", m)
				c.pace(rate/5, rate)
				costs[rate] = append(costs[rate], c.pace(performancePaced, rate).µs)
				c.stop()
			}
		}
		fmt.Printf("| %v |", m)
		for _, rate := range rates {
			fmt.Printf(" %.1f |", median(costs[rate]))
		}
		fmt.Println()
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// performanceText is so many lines, all of them different.
func performanceText(kind string, n int) []byte {
	var b []byte
	for i := range n {
		at := len(b)
		if kind == "json" {
			b = fmt.Appendf(b, `{"time":"2026-11-22T15:%02d:%02d.%03dZ","level":"info","msg":"request served","request_id":%d,"user_id":%d,"path":"/api/v1/users/%d/items/%d","status":200,"duration_ms":%d,"remote":"203.0.113.%d","remote_port":%d,"bytes_in":%d,"bytes_out":%d}`,
				i/60%60, i%60, i%1000, i*104729, i%977, i%977, i*7919%9000, i*31%256, i*13%256, 1024+i*104729%60000, i*7%1000, i*17%9000)
			b = append(b[:at+performanceLine-2], '}', '\n')
			continue
		}
		b = fmt.Appendf(b, "Nov 22 15:%02d:%02d web01 sshd[%d]: Failed password for invalid user admin%d from 203.0.113.%d port %d ssh2; the next attempt of that address will be the 17th within ten minutes, says the jail number %d",
			i/60%60, i%60, 1000+i*7919%9000, i%97, i*31%256, 1024+i*104729%60000, i*7%1000)
		for len(b) < at+performanceLine-1 {
			b = append(b, 'x')
		}
		b = append(b[:at+performanceLine-1], '\n')
	}
	return b
}

// performanceFile is the log of a child.
func performanceFile(dir string) string { return filepath.Join(dir, "test.log") }
