package agent

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/durable/queue"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

var secondAddr = netip.MustParseAddrPort("198.51.100.2:1514")

// two runs f with an agent and two managers.
func two(t *testing.T, set func(c *Config), f func(r *rig, first, second *fakeManager)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		first := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		second := newFakeManager(t, n, secondAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.Managers = append(r.cfg.Managers, secondAddr.String())
		r.cfg.SpoolSize, r.cfg.ProbeInterval, r.cfg.ResendMax = queue.MinLimit, 5*time.Second, 1000
		set(&r.cfg)
		f(r, first, second)
		first.close()
		second.close()
	})
}

// Each manager gets every event, whatever becomes of the other, and after a restart what it lacks.
func TestAllManagers(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		second.answerWith(silent)
		r.start()
		r.feed.batches <- lines(0, 100)
		time.Sleep(10 * time.Second)
		if got := numbers(first.take()); got != "0-99" {
			t.Errorf("the first heard %s", got)
		}
		if got := numbers(second.take()); got != "" {
			t.Errorf("the second, which does not answer, heard %s", got)
		}
		r.mustStop()
		second.answerWith(acknowledge)
		r.start()
		r.feed.batches <- lines(100, 100)
		time.Sleep(10 * time.Second)
		if got := numbers(first.take()); got != "100-199" {
			t.Errorf("then the first heard %s", got)
		}
		if got := numbers(second.take()); got != "0-199" {
			t.Errorf("then the second heard %s", got)
		}
		r.mustStop()
	})
}

// What one manager said, repeated on the socket towards another, is neither obeyed there nor taken for an answer of that one.
func TestAnothersMessages(t *testing.T) {
	run := func(name string) func(string) []string {
		return func(text string) []string {
			if !strings.Contains(text, "\n") {
				return acknowledge(text)
			}
			return []string{string(proto.AppendAck(nil, &proto.Run{Name: name}))}
		}
	}
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		first.setCount(proto.Counter{Global: 3_000_000_000}) // all that it says looks fresh to the other one
		first.answerWith(run("FIRST"))
		second.answerWith(run("SECOND"))
		r.start()
		r.feed.batches <- lines(0, 10)
		time.Sleep(20 * time.Second)
		order := first.seal(proto.ForceReconnect)
		stolen := first.seal(string(proto.AppendAck(nil, &proto.Run{Name: "FIRST"}))) // never reaches the first session
		first.sendRaw(order)
		time.Sleep(time.Second)
		for _, d := range [][]byte{order, stolen} {
			second.sendRaw(d)
		}
		time.Sleep(time.Second)
		if n := r.log.Count("msg=offline"); n != 1 {
			t.Errorf("an order was obeyed %d times:\n%s", n, r.log)
		}
		if n := r.log.Count("another manager's message"); n != 1 || r.log.Count("was gone for a while") > 0 {
			t.Errorf("the log says\n%s", r.log)
		}
		r.feed.batches <- lines(10, 10)
		time.Sleep(20 * time.Second)
		for i, m := range []*fakeManager{first, second} {
			if got := numbers(m.take()); got != "0-19" {
				t.Errorf("manager %d heard %s", i+1, got)
			}
		}
		r.mustStop()
	})
}

// The oldest events make room for a manager that is gone; the other one loses none.
func TestAllManagersLoseOnTheirOwn(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers, c.SpoolDropOldest = true, true }, func(r *rig, first, second *fakeManager) {
		second.answerWith(silent)
		r.start()
		for i := range 60 {
			r.feed.batches <- wideLines(50*i, 50)
			time.Sleep(time.Second)
		}
		second.answerWith(acknowledge)
		time.Sleep(5 * time.Minute)
		if got := numbers(first.take()); got != "0-2999" {
			t.Errorf("the first heard %s", got)
		}
		got := second.take()
		var said string
		for _, h := range got {
			if strings.Contains(h.text, "Agent event queue is full") {
				said += h.text
			}
		}
		lost, _, _ := strings.Cut(numbers(got), "-")
		if lost == "0" || !strings.HasSuffix(numbers(got), "-2999") || said != "1:ossecd:ossec: Agent event queue is full: "+lost+" events lost." {
			t.Errorf("the second heard %s, and %s", numbers(got), said)
		}
		r.mustStop()
	})
}

// With another manager than the first, the agent looks for the first one now and then, and returns without a loss.
func TestFailBack(t *testing.T) {
	two(t, func(c *Config) { c.FailBack = 10 * time.Minute }, func(r *rig, first, second *fakeManager) {
		first.answerWith(silent)
		r.start()
		time.Sleep(time.Minute)
		r.feed.batches <- lines(0, 10)
		time.Sleep(25 * time.Minute) // it looks twice in vain
		r.feed.batches <- lines(10, 10)
		time.Sleep(time.Second)
		if got := numbers(second.take()); got != "0-19" {
			t.Errorf("the second heard %s", got)
		}
		hellos := strings.Count(timeline(first.take()), "startup")
		if hellos < 5+2 || hellos > 5+6 {
			t.Errorf("%d startup messages to the first, of which %d at the start", hellos, 5)
		}
		first.answerWith(acknowledge)
		time.Sleep(15 * time.Minute)
		r.feed.batches <- lines(20, 10)
		time.Sleep(time.Second)
		if got := numbers(first.take()); got != "20-29" {
			t.Errorf("the first, back, heard %s", got)
		}
		if got := numbers(second.take()); got != "" {
			t.Errorf("the second heard %s again", got)
		}
		time.Sleep(time.Hour)
		if n := strings.Count(timeline(first.take()), "startup"); n != 0 {
			t.Errorf("%d more startup messages to the first", n)
		}
		r.mustStop()
	})
}

// A present manager that vanishes while the first one is looked for is looked for itself, as ever.
func TestFailBackGivesWay(t *testing.T) {
	two(t, func(c *Config) { c.FailBack = time.Second }, func(r *rig, first, second *fakeManager) {
		first.answerWith(silent)
		r.start()
		time.Sleep(2 * time.Minute)
		second.answerWith(silent)
		time.Sleep(5 * time.Minute)
		first.answerWith(acknowledge)
		r.feed.batches <- lines(0, 10)
		time.Sleep(5 * time.Minute)
		if got := numbers(first.take()); got != "0-9" {
			t.Errorf("the first heard %s", got)
		}
		r.mustStop()
	})
}

// A name that does not resolve is no failure: it is asked for at each try.
func TestANameThatComesLater(t *testing.T) {
	two(t, func(c *Config) {
		c.Managers = []string{"later.example"}
		dial, began := c.Dial, time.Now()
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if time.Since(began) < 5*time.Minute {
				return nil, &net.DNSError{Err: "no such host", Name: "later.example", IsNotFound: true}
			}
			return dial(ctx, network, managerAddr.String())
		}
	}, func(r *rig, first, _ *fakeManager) {
		r.start()
		r.feed.batches <- lines(0, 10)
		time.Sleep(8 * time.Minute)
		if got := numbers(first.take()); got != "0-9" {
			t.Errorf("heard %s", got)
		}
		r.mustStop()
	})
}

func TestLocalAddr(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ addr, want string }{
		{"", ""}, {"192.0.2.7", "192.0.2.7:0"}, {"192.0.2.7:2514", "192.0.2.7:2514"}, {"2001:db8::7", "[2001:db8::7]:0"}, {"[2001:db8::7]:1", "[2001:db8::7]:1"},
	} {
		at, err := (&Config{LocalAddr: tt.addr, Managers: []string{"a", "b"}}).localAddress()
		if got := at.String(); err != nil || tt.want != "" && got != tt.want {
			t.Errorf("%q: %s, %v", tt.addr, got, err)
		}
	}
	for _, c := range []Config{
		{LocalAddr: "host"}, {LocalAddr: "192.0.2.7:x"}, {LocalAddr: ":2514"}, {LocalAddr: "192.0.2.0/24"},
		{LocalAddr: "192.0.2.7:2514", Managers: []string{"a", "b"}, FailBack: time.Minute},
		{LocalAddr: "192.0.2.7:2514", Managers: []string{"a", "b"}, AllManagers: true},
	} {
		if at, err := c.localAddress(); err == nil || !strings.HasPrefix(err.Error(), "local-addr: ") {
			t.Errorf("%+v: %v, %v", c, at, err)
		}
	}
	c := Config{LocalAddr: "127.0.0.1"}.withDefaults()
	conn, err := c.Dial(t.Context(), "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.UDPAddr).IP.String(); got != "127.0.0.1" {
		t.Errorf("sends from %s", got)
	}
}
