package sendtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent/transport"
	"ossecd/keys"
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

// Many agents share some sockets; on each of them one handshake goes on at a time, also where answers are lost or
// come twice. The events come from all agents in turn.
func TestAgentsShareSockets(t *testing.T) {
	t.Parallel()
	const agents, count = 200, 500
	var lines strings.Builder
	for n := range agents {
		fmt.Fprintf(&lines, "%03d agent%03d any secret%d\n", n+1, n+1, n+1)
	}
	asked := make(map[netip.AddrPort]string) // the agent that asked last
	answered := make(map[string]bool)
	n := 0
	m := startManager(t, lines.String(), func(m *scripted, from netip.AddrPort, got proto.Message) {
		if !proto.IsControl(got.Payload) {
			return
		}
		if who := asked[from]; who != "" && who != m.key.ID && !answered[who] {
			t.Errorf("%v: agent %s asks while %s waits", from, m.key.ID, who)
		}
		asked[from] = m.key.ID
		switch n++; n % 40 {
		case 0: // lost
			return
		case 1:
			m.send(from, got.Method, got.Dialect, proto.Ack)
		}
		answered[m.key.ID] = true
		m.send(from, got.Method, got.Dialect, proto.Ack)
	})
	out, _, err := run(t, lines.String(), "--manager", m.addr, "--agents", fmt.Sprint(agents), "--count", fmt.Sprint(count), "--json", "x")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got outcome
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	ports := make(map[netip.AddrPort]bool)
	greeted, events := make(map[string]bool), 0
	for _, a := range m.arrivals() {
		ports[a.from] = true
		if a.text == proto.Startup {
			greeted[a.id] = true
		}
		if number, ok := strings.CutPrefix(a.text, "1:send-test:x "); ok {
			events++
			i, err := strconv.Atoi(number)
			if want := fmt.Sprintf("%03d", (i-1)%agents+1); err != nil || a.id != want {
				t.Errorf("event %s is of agent %s, want %s", number, a.id, want)
			}
		}
	}
	if len(ports) != sharedLines || len(greeted) != agents || events != count {
		t.Errorf("%d agents on %d sockets sent %d events, want %d, %d and %d", len(greeted), len(ports), events, agents, sharedLines, count)
	}
	if got.Sent != count || got.Acked < agents || got.Hello <= 0 {
		t.Errorf("got %+v", got)
	}
}

// A manager finds an agent with a single address by that address, so it shares its socket with none.
func TestOwnAddressOwnSocket(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	lines.WriteString("001 own 127.0.0.1 k1\n")
	lines.WriteString("002 away 192.0.2.77/32 k2\n") // no address of this host: it goes the way of the others
	for n := range sharedLines {
		fmt.Fprintf(&lines, "1%03d any%d any k%d\n", n, n, n)
	}
	l := &load{job: &job{target: target{address: transport.Address{Network: transport.UDP, HostPort: "127.0.0.1:9"}, method: proto.Blowfish, dialect: proto.OSSEC}}}
	for line := range strings.Lines(lines.String()) {
		k, err := keys.ParseLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		l.keys = append(l.keys, k)
	}
	defer l.close()
	if err := l.connect(t.Context(), func() (counts, error) { return newClock(time.Now()) }); err != nil {
		t.Fatal(err)
	}
	if len(l.lines) != 1+sharedLines {
		t.Errorf("got %d sockets, want %d", len(l.lines), 1+sharedLines)
	}
	if n := len(l.lines[0].agents); n != 1 {
		t.Errorf("%d agents share the socket of one with an address of its own", n)
	}
	if from := l.lines[0].conn.LocalAddr().(*net.UDPAddr); l.lines[0].asker().key.ID != "001" || !from.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("%v sends from %v", l.lines[0].asker().key, from)
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

// What became due while nobody was scheduled does not leave all at once.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate = 20_000
		began := time.Now()
		p := newPace(began, rate, 1)
		var left []time.Duration
		next := func() {
			if err := p.wait(t.Context(), len(left)); err != nil {
				t.Fatal(err)
			}
			left = append(left, time.Since(began))
		}
		for range rate / 10 {
			next()
		}
		if got, want := left[len(left)-1], 100*time.Millisecond; got < want-time.Millisecond || got > want {
			t.Errorf("the last of a tenth of a second left after %v", got)
		}
		time.Sleep(50 * time.Millisecond)
		for range rate / 10 {
			next()
		}
		if got, want := left[len(left)-1], 200*time.Millisecond; got < want-time.Millisecond || got > want {
			t.Errorf("what was late is not made up for: the last left after %v, want %v", got, want)
		}
		for i, at := range left {
			if most := 31; i >= most && at-left[i-most] == 0 {
				t.Fatalf("more than %d at once after %v", most, at)
			}
		}
	})
}

func TestPaceEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, rate := range []float64{0, 1} {
		if err := newPace(time.Now(), rate, 1).wait(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("rate %v: got %v", rate, err)
		}
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
		{0, 10, time.Second, "events [                        ]   0 %  0/10  0/s  - left"},
		{5, 10, time.Second, "events [============            ]  50 %  5/10  5/s  1s left"},
		{10, 10, 4 * time.Second, "events [========================] 100 %  10/10  2/s  0s left"},
		{1, 1_000_000_000, time.Second, "events [                        ]   0 %  1/1000000000  1/s  277777h46m39s left"},
	}
	var got []string
	for _, tt := range tests {
		got = append(got, progressLine("events", tt.sent, tt.total, tt.took))
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
