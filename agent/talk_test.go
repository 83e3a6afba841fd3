package agent

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
	"ossecd/proto/simnet"
)

// high is a count that no manager comes to by itself.
var high = proto.Counter{Global: 3_000_000_000}

// What one manager said is not obeyed on the socket towards another, even where it never came to its own, and does not make the other's
// counts look old.
func TestHeldBackIsNotAnothers(t *testing.T) {
	t.Run("all", func(t *testing.T) { heldBack(t, true) })
	t.Run("first", func(t *testing.T) { heldBack(t, false) })
}

func heldBack(t *testing.T, all bool) {
	two(t, func(c *Config) { c.AllManagers = all }, func(r *rig, first, second *fakeManager) {
		first.setCount(high)
		first.asOssecd("FIRST")
		second.asOssecd("SECOND")
		r.start()
		time.Sleep(20 * time.Second)
		order, ack := first.seal(first.named(proto.ForceReconnect)), first.seal(first.named(string(proto.AppendAck(nil, &proto.Run{Name: "FIRST"}))))
		if !all { // the session goes on to the second
			first.answerWith(silent)
			time.Sleep(3 * time.Minute)
		}
		before := r.log.Count("msg=offline")
		for range 2 {
			second.sendRaw(order)
			second.sendRaw(ack)
		}
		second.take()
		r.feed.batches <- lines(0, 10)
		time.Sleep(20 * time.Second)
		if r.log.Count("msg=offline") != before || r.log.Count("another manager's message") == 0 || r.log.Count("old count") != 0 {
			t.Errorf("the log says\n%s", r.log)
		}
		second.send(second.named(proto.ForceReconnect))
		time.Sleep(20 * time.Second)
		if r.log.Count("msg=offline") != before+1 || r.log.Count("old count") != 0 {
			t.Errorf("the second is not obeyed:\n%s", r.log)
		}
		if got := numbers(second.take()); got != "0-9" {
			t.Errorf("the second heard %s", got)
		}
		r.mustStop()
	})
}

// After a restart of the agent what was said before is not said to it, by whomever, and even with a count that it has not seen.
func TestOrdersOfBeforeARestart(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		first.asOssecd("FIRST")
		second.asOssecd("SECOND")
		r.start()
		time.Sleep(20 * time.Second)
		obeyed := first.seal(first.named(proto.ForceReconnect))
		held := first.seal(first.named(proto.ForceReconnect))
		first.sendRaw(obeyed)
		time.Sleep(20 * time.Second)
		if n := r.log.Count("msg=offline"); n != 1 {
			t.Fatalf("an order was obeyed %d times", n)
		}
		r.mustStop()
		r.start()
		time.Sleep(20 * time.Second)
		for _, m := range []*fakeManager{first, second} {
			m.sendRaw(obeyed)
			m.sendRaw(held)
		}
		time.Sleep(20 * time.Second)
		if n := r.log.Count("msg=offline"); n != 1 {
			t.Errorf("orders of before the restart were obeyed:\n%s", r.log)
		}
		r.mustStop()
	})
}

// Once a manager has named the conversation, what does not is none of its.
func TestNoWayBackFromAConversation(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		first.setCount(high)
		second.answerWith(silent)
		first.asOssecd("FIRST")
		r.start()
		time.Sleep(20 * time.Second)
		for _, text := range []string{proto.ForceReconnect, proto.Removed, proto.AnyHere, "#!-up file 9e107d9d372bb6826bd81d3542a419d6 a\n", proto.CloseFile,
			proto.Ack, string(proto.AppendAck(nil, &proto.Run{Name: "FIRST"})), string(proto.AppendAck(nil, &proto.Run{Name: "OTHER"}))} {
			first.send(text)
		}
		second.asOssecd("SECOND")
		time.Sleep(20 * time.Second)
		if r.log.Count("msg=offline") != 0 || r.log.Count("refused", "without the conversation") == 0 {
			t.Errorf("the log says\n%s", r.log)
		}
		first.setCount(proto.Counter{Global: high.Global, Local: 1000}) // it is judged by its own counts
		first.send(first.named(proto.ForceReconnect))
		time.Sleep(time.Second)
		if r.log.Count("msg=offline") != 1 {
			t.Errorf("a named order was not obeyed:\n%s", r.log)
		}
		r.mustStop()
	})
}

// In a conversation a datagram counts once, too.
func TestAConversationCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		m.asOssecd("A")
		r := newRig(t, n, anyKey)
		r.start()
		time.Sleep(5 * time.Second)
		ask := m.seal(m.named(proto.AnyHere))
		m.take()
		for range 3 {
			m.sendRaw(ask)
			time.Sleep(1100 * time.Millisecond)
		}
		if got := strings.Count(timeline(m.take()), "keepalive"); got != 1 || r.log.Count("repeated count") != 1 {
			t.Errorf("%d keepalives:\n%s", got, r.log)
		}
		r.mustStop()
		m.close()
	})
}

// An acknowledgement of a manager of ours counts for the keepalive that it names, and for no other.
func TestAnAckNamesWhatItAnswers(t *testing.T) {
	two(t, func(c *Config) {}, func(r *rig, m, second *fakeManager) {
		second.answerWith(silent)
		m.asOssecd("A")
		r.start()
		r.feed.batches <- lines(0, 10)
		time.Sleep(20 * time.Second)
		m.answerWith(silent) // no keepalive is answered any more, and no event taken
		m.take()
		r.feed.batches <- lines(10, 10)
		for range 6 { // an answer to something else
			m.send(m.named(string(proto.AppendAck(nil, &proto.Run{Name: "A", Of: proto.Counter{Global: 7, Local: 7}}))))
			time.Sleep(5 * time.Second)
		}
		if got := numbers(m.take()); got != "10-19" {
			t.Errorf("heard %s", got)
		}
		r.mustStop()
		m.asOssecd("A")
		r.start()
		time.Sleep(20 * time.Second)
		if got := numbers(m.take()); got != "10-19" {
			t.Errorf("what nothing answered for is not sent again: %s", got)
		}
		r.mustStop()
		r.start()
		time.Sleep(20 * time.Second)
		if got := numbers(m.take()); got != "" {
			t.Errorf("what was answered for is sent again: %s", got)
		}
		r.mustStop()
	})
}

// A manager of ours that starts anew goes on with the conversation under the name of its new run; a run of another manager does not.
func TestANewRunInAConversation(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		first.asOssecd("FIRST")
		second.asOssecd("SECOND")
		r.start()
		r.feed.batches <- lines(0, 10)
		time.Sleep(30 * time.Second)
		second.take()
		second.asOssecd("SECONDAGAIN")
		r.feed.batches <- lines(10, 10)
		time.Sleep(30 * time.Second)
		second.send(second.named(proto.AnyHere))
		if r.log.Count("msg=offline") != 0 || r.log.Count("another manager's") != 0 {
			t.Errorf("the log says\n%s", r.log)
		}
		if got := numbers(second.take()); !strings.Contains(got, "10-19") {
			t.Errorf("heard %s", got)
		}
		second.asOssecd("FIRST") // as if its keepalives were carried to the first, and the answers back
		time.Sleep(15 * time.Second)
		if r.log.Count("another manager's message") == 0 {
			t.Errorf("the log says\n%s", r.log)
		}
		r.mustStop()
	})
}

// A manager that starts more often than a conversation may have runs is soon heard in a new one.
func TestManyRunsInAConversation(t *testing.T) {
	two(t, func(c *Config) { c.TimeReconnect, c.NotifyTime = time.Hour, 10*time.Minute }, func(r *rig, m, second *fakeManager) {
		second.answerWith(silent)
		m.asOssecd("RUN0")
		r.start()
		time.Sleep(time.Minute)
		for run := range 70 {
			m.asOssecd(fmt.Sprint("RUN", run+1))
			r.feed.batches <- lines(run, 1)
			time.Sleep(2 * time.Minute)
		}
		m.take()
		r.feed.batches <- lines(100, 10)
		time.Sleep(2 * time.Minute)
		if got := numbers(m.take()); got != "100-109" {
			t.Errorf("heard %s", got)
		}
		if r.log.Count("msg=offline") != 1 || r.log.Count("another manager's") != 0 {
			t.Errorf("the log says\n%s", r.log)
		}
		r.mustStop()
	})
}

// Where an acknowledgement of a manager's new run was carried to the socket towards another before it came to its own, that is over with the
// other's own next one.
func TestARunCarriedToAnother(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		first.asOssecd("FIRST")
		second.asOssecd("SECOND")
		r.start()
		time.Sleep(25 * time.Second)
		first.answerWith(silent) // it starts anew
		second.asOssecd("FIRSTAGAIN")
		time.Sleep(11 * time.Second)
		first.asOssecd("FIRSTAGAIN")
		second.asOssecd("SECOND")
		time.Sleep(time.Minute)
		before := r.log.Count("refused")
		r.feed.batches <- lines(0, 10)
		time.Sleep(time.Minute)
		for _, m := range []*fakeManager{first, second} {
			m.send(m.named(proto.ForceReconnect))
		}
		time.Sleep(time.Second)
		if r.log.Count("refused") != before || r.log.Count("msg=offline") != 2 {
			t.Errorf("the log says\n%s", r.log)
		}
		r.mustStop()
	})
}

// A manager whose counts look old, because those of another were shown on the socket towards it, proves to be there by naming the
// conversation.
func TestAConversationEndsALockOut(t *testing.T) {
	two(t, func(c *Config) { c.AllManagers = true }, func(r *rig, first, second *fakeManager) {
		first.setCount(high)
		first.asOssecd("FIRST")
		second.answerWith(silent)
		r.start()
		time.Sleep(time.Second)
		second.sendRaw(first.seal(proto.Ack)) // it never came to the session with the first
		time.Sleep(time.Second)
		if n := r.log.Count("msg=connected"); n != 2 {
			t.Fatalf("%d connected", n)
		}
		second.asOssecd("SECOND")
		r.feed.batches <- lines(0, 10)
		time.Sleep(20 * time.Second)
		for range 2 {
			if got := numbers(second.take()); got != "0-9" {
				t.Errorf("the second heard %s", got)
			}
			if n := r.log.Count("msg=offline"); n != 0 {
				t.Errorf("%d times offline", n)
			}
			r.mustStop()
			r.start()
			r.feed.batches <- lines(0, 10)
			time.Sleep(20 * time.Second)
		}
		r.mustStop()
	})
}

// So it does where the agent looks whether the first manager is back.
func TestFailBackEndsALockOut(t *testing.T) {
	two(t, func(c *Config) { c.FailBack = time.Minute }, func(r *rig, first, second *fakeManager) {
		second.setCount(high)
		first.asOssecd("FIRST")
		second.asOssecd("SECOND")
		r.start()
		time.Sleep(time.Second)
		first.answerWith(silent)
		r.feed.batches <- lines(0, 10)
		time.Sleep(20 * time.Minute)
		second.take()
		if n := r.log.Count("msg=connected"); n < 2 {
			t.Fatalf("%d connected:\n%s", n, r.log)
		}
		stolen := second.seal(proto.Ack)
		first.take()
		for range 300 { // somebody shows the second's acknowledgement in the place of the first's
			time.Sleep(time.Second)
			if len(first.take()) > 0 {
				first.sendRaw(stolen)
				break
			}
		}
		time.Sleep(5 * time.Minute)
		first.asOssecd("FIRST")
		r.feed.batches <- lines(10, 10)
		time.Sleep(20 * time.Minute)
		first.take()
		r.feed.batches <- lines(20, 10)
		time.Sleep(time.Minute)
		if got := numbers(first.take()); got != "20-29" {
			t.Errorf("the first heard %s, the second %s:\n%s", got, numbers(second.take()), r.log)
		}
		r.mustStop()
	})
}

// A stock manager, or an ossecd of before, that takes the place of one which named conversations is found soon.
func TestAnotherProgramTakesTheManagersPlace(t *testing.T) {
	two(t, func(c *Config) { c.TimeReconnect, c.NotifyTime = time.Hour, 10*time.Minute }, func(r *rig, m, second *fakeManager) {
		second.answerWith(silent)
		m.asOssecd("A")
		r.start()
		time.Sleep(time.Minute)
		m.take()
		m.answerWith(acknowledge)
		r.feed.batches <- lines(0, 10)
		time.Sleep(time.Minute)
		if n := r.log.Count("msg=offline"); n != 1 {
			t.Errorf("%d times offline:\n%s", n, r.log)
		}
		m.take()
		r.feed.batches <- lines(10, 10)
		time.Sleep(time.Minute)
		if got := numbers(m.take()); got != "10-19" {
			t.Errorf("heard %s", got)
		}
		r.mustStop()
	})
}
