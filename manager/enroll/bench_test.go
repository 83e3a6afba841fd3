package enroll

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ossecd/keys"
	"ossecd/proto"
)

// BenchmarkSettle gives out keys for 100 requests that came at once, beside 10,000 agents. The manager's taking them up is
// not in it.
func BenchmarkSettle(b *testing.B) {
	const there, batch = 10_000, 100
	var lines strings.Builder
	for n := range there {
		fmt.Fprintf(&lines, "%d agent%d any %s\n", n+1, n+1, keys.NewSecret())
	}
	s, _ := pipeServer(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if err := os.WriteFile(s.cfg.Keys, []byte(lines.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		orders := make([]*order, batch)
		for n := range orders {
			orders[n] = &order{req: proto.EnrollRequest{Name: fmt.Sprintf("new%d", n)}, from: loopback, done: make(chan struct{})}
		}
		b.StartTimer()
		s.issuer.settle(orders)
		if last := orders[batch-1]; last.why != 0 || last.key.ID != fmt.Sprint(there+batch) {
			b.Fatalf("%v, %v", last.why, last.key)
		}
	}
	b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}
