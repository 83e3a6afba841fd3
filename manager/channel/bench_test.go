package channel

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"ossecd/manager/listen"
	"ossecd/proto"
)

// logLine is an event with a log line of some 200 bytes, another one for each n.
func logLine(n int) string {
	return fmt.Sprintf("1:/var/log/auth.log:Nov 22 15:%02d:%02d web01 sshd[%d]: Failed password for invalid user admin%d from 203.0.113.%d port %d ssh2; the next attempt of that address will be the 17th within ten minutes",
		n/60%60, n%60, 1000+n*7919%9000, n%97, n*31%256, 1024+n*104729%60000)
}

// BenchmarkReceiveParallel is the receive path behind the socket, of as many receivers as there are cores, each with
// an agent of its own: with -cpu 1,2 two should take half the time of one.
func BenchmarkReceiveParallel(b *testing.B) {
	const batch = 5_000
	var lines []string
	for n := range runtime.GOMAXPROCS(0) {
		lines = append(lines, fmt.Sprintf("%06d agent%06d any %064x", n+1, n+1, n+1))
	}
	c := direct(b, lines...).Channel
	batches := make([][][]byte, len(lines))
	for n, line := range lines {
		seal := sealAs(b, line, proto.Envelope{ID: line[:6], Method: proto.Blowfish, Dialect: proto.OSSEC})
		for i := range batch {
			batches[n] = append(batches[n], seal(logLine(i)))
		}
	}
	var started atomic.Int32
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		n := int(started.Add(1)) - 1
		r, err := newReceiver(c, deaf{})
		if err != nil {
			b.Error(err)
			return
		}
		slot := c.fleet.Roster().ByID(lines[n][:6]).Slot
		from := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(40_000+n))
		for i := 0; pb.Next(); i++ {
			if i%batch == 0 {
				slot.Reset() // the same datagrams once more
			}
			r.receive(batches[n][i%batch], from, netip.Addr{}, time.Now())
			if i%listen.BatchSize == 0 {
				r.handOver(false)
			}
		}
	})
	for why := malformed; why < numReasons; why++ {
		if n := c.refusals.counts[why].Load(); n > 0 {
			b.Fatalf("%d refused: %v", n, why)
		}
	}
}
