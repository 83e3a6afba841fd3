package sendtest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ossecd/proto"
)

func TestLoadIsWholeAndProbed(t *testing.T) {
	t.Parallel()
	m := startManager(t, testLine, acks)
	const count = 1000
	out, _, err := run(t, testLine, "--manager", m.addr, "--count", fmt.Sprint(count), "--json", "x")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got outcome
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	events, probes, since := 0, 0, 0
	for _, a := range m.arrivals() {
		s := a.text
		if strings.HasPrefix(s, "1:send-test:x ") {
			events++
			since++
			if want := fmt.Sprintf("1:send-test:x %d", events); s != want {
				t.Fatalf("got %q, want %q", s, want)
			}
			if since > inFlight {
				t.Fatalf("%d events without a keepalive", since)
			}
		} else if s != proto.Startup {
			probes++
			since = 0
		}
	}
	if events != count || got.Sent != count || !got.OK || got.Agents != 1 || got.Rate <= 0 || got.Seconds <= 0 {
		t.Errorf("%d events came, outcome %+v", events, got)
	}
	if int(got.Acked) < 1+count/(inFlight/2) || int(got.Acked) > 1+probes {
		t.Errorf("%d acks for a startup and %d keepalives", got.Acked, probes)
	}
}

// Lost acks are asked for again; the load goes on.
func TestLoadSurvivesLoss(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	m := startManager(t, testLine, func(m *scripted, from netip.AddrPort, got proto.Message) {
		if proto.IsControl(got.Payload) && n.Add(1)%3 != 1 {
			m.send(from, got.Method, got.Dialect, proto.Ack)
		}
	})
	if out, _, err := run(t, testLine, "--manager", m.addr, "--count", "300", "--timeout", "20s"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLoadIsPaced(t *testing.T) {
	t.Parallel()
	m := startManager(t, testLine, acks)
	began := time.Now()
	if out, _, err := run(t, testLine, "--manager", m.addr, "--count", "100", "--rate", "250"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if took, want := time.Since(began), 390*time.Millisecond; took < want {
		t.Errorf("100 events at 250 a second took %v, want %v or more", took, want)
	}
}

func TestLoadEndsWhenTheManagerDoes(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	m := startManager(t, testLine, func(m *scripted, from netip.AddrPort, got proto.Message) {
		if n.Add(1) < 500 {
			acks(m, from, got)
		}
	})
	out, _, err := run(t, testLine, "--manager", m.addr, "--count", "1000000", "--timeout", "1s")
	if err == nil || !strings.Contains(err.Error(), "agent 007 web01 any: no answer") || !strings.Contains(out, "UdpRcvbufErrors") {
		t.Errorf("%v\n%s", err, out)
	}
	if sent := len(m.arrivals()); sent > 500+2*inFlight {
		t.Errorf("%d messages were sent after the last answer", sent-500)
	}
}

// A run that counted faster than the clock does not shut out the next one for long.
func TestRunAfterAFastOne(t *testing.T) {
	t.Parallel()
	now, _ := countAt(time.Now())
	var window proto.Window
	window.Raise(now.Value() + 7_000) // some 700 ms
	m := startManager(t, testLine, func(m *scripted, from netip.AddrPort, got proto.Message) {
		if window.Accept(got.Counter.Value()).Passes() {
			acks(m, from, got)
		}
	})
	if out, _, err := run(t, testLine, "--manager", m.addr); err != nil || !strings.Contains(out, "sending again") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 500_000_000)
	c, err := newClock(at)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := c.Next()
	if want := (proto.Counter{Global: 1_700_000_000, Local: 4_999}); first != want {
		t.Errorf("first count is %v, want %v", first, want)
	}
	for range 30_000 {
		c.Next()
	}
	if got, want := c.ahead(at), 3*time.Second; got != want {
		t.Errorf("ahead by %v, want %v", got, want)
	}
	later, err := newClock(at.Add(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if next, _ := later.Next(); next.Value() <= first.Value() {
		t.Errorf("a run one millisecond later starts with %v, not above %v", next, first)
	}
	for _, bad := range []time.Time{time.Unix(0, 0), time.Unix(-5, 0), time.Unix(math.MaxInt32+1, 0)} {
		if _, err := newClock(bad); err == nil {
			t.Errorf("counts from %v", bad)
		}
	}
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sent, total int64
		took        time.Duration
		want        string
	}{
		{0, 10, time.Second, "[                              ]   0 %  0/10  0/s  - left"},
		{5, 10, time.Second, "[===============               ]  50 %  5/10  5/s  1s left"},
		{10, 10, 4 * time.Second, "[==============================] 100 %  10/10  2/s  0s left"},
		{1, 1_000_000_000, time.Second, "[                              ]   0 %  1/1000000000  1/s  277777h46m39s left"},
	}
	var got []string
	for _, tt := range tests {
		got = append(got, progressLine(tt.sent, tt.total, tt.took))
	}
	for i, tt := range tests {
		if got[i] != tt.want {
			t.Errorf("got  %q\nwant %q", got[i], tt.want)
		}
	}
	if slices.ContainsFunc(got, func(s string) bool { return len(s) > 79 }) {
		t.Errorf("longer than a line: %q", got)
	}
}
