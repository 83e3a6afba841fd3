package manager

import (
	"fmt"
	"testing"
)

// measureBeside prints what this version takes beside another one, whose test program before is (go test -c -o FILE ./manager): both in
// turns, so that what else the machine does falls on both. The ratios are the medians of those within each round.
func measureBeside(t *testing.T, before string) {
	type row struct {
		name    string
		load    *load
		cost    func(c *child, l *load) float64
		was, is []float64
		ratio   []float64
	}
	burst := func(c *child, l *load) float64 {
		var best least
		c.burst(l.bursts[0])
		for _, b := range l.bursts[1:] {
			best.take(c.burst(b).perEvent)
		}
		return float64(best)
	}
	paced := func(c *child, l *load) float64 {
		c.burst(l.bursts[0])
		return c.paced(l.bursts[1], performancePace)
	}
	resident := func(c *child, l *load) float64 {
		c.burst(l.hello)
		return c.memory()
	}
	var rows []*row
	for _, f := range performanceForms {
		for _, size := range []int{200, 600, 5000} {
			rows = append(rows, &row{name: fmt.Sprintf("%v, %d B, µs", f, size), load: newLoad(t, f, size, 1, 4), cost: burst})
		}
		rows = append(rows, &row{name: fmt.Sprintf("%v, 200 B at %d a second, µs", f, performancePace), load: newLoad(t, f, 200, 1, 2), cost: paced})
	}
	for _, n := range []int{1, 10_000} {
		rows = append(rows, &row{name: fmt.Sprintf("%d agents, MB", n), load: newLoad(t, performanceForms[0], 200, n, 1), cost: resident})
	}
	for round := range 2*performanceRounds + 1 {
		for _, r := range rows {
			costs := make(map[string]float64)
			for turn := range 2 {
				r.load.program = ""
				if (turn == 0) == (round%2 == 0) {
					r.load.program = before
				}
				c := startChild(t, "manager", r.load)
				costs[r.load.program] = r.cost(c, r.load)
				c.stop()
			}
			r.was, r.is = append(r.was, costs[before]), append(r.is, costs[""])
			r.ratio = append(r.ratio, costs[""]/costs[before])
		}
	}
	fmt.Println("\n| | before | now | ratio |\n| --- | ---: | ---: | ---: |")
	for _, r := range rows {
		fmt.Printf("| %s | %.2f | %.2f | **%.3f** |\n", r.name, median(r.was), median(r.is), median(r.ratio))
	}
}
