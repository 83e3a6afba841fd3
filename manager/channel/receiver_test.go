package channel

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/proto"
)

// What the manager sent opens under the agent's key, too. Sent back with the agent's ID it is no life of the agent's, and
// its count does not make the agent's own look old.
func TestOwnMessagesSentBack(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	ours := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 2_000_000_000}})
	said := []string{proto.Ack, string(proto.AppendAck(nil, &proto.Run{Name: "A", First: proto.Counter{Global: 1}})), proto.SyscheckNow, proto.ForceReconnect,
		"#!-execd restart-ossec0 add - null", "#!-up file 9e107d9d372bb6826bd81d3542a419d6 merged.mg\n", proto.CloseFile, "!12 ar.conf\nrest of a file",
		proto.NewKey + anyLine, proto.Removed, proto.AnyHere}
	for _, message := range said {
		r.receive(ours(message), from, netip.Addr{}, time.Now())
	}
	a := r.fleet.Roster().ByID("001")
	if got := r.refusals.counts[notAnAgents].Load() + r.refusals.counts[badEvent].Load(); got != uint64(len(said)) || a.Slot.Highest() != 0 || !a.Status().LastSeen.IsZero() {
		t.Errorf("%d of %d refused; highest count %d, last seen %v", got, len(said), a.Slot.Highest(), a.Status().LastSeen)
	}
	theirs := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5}})
	r.receive(theirs("1:/var/log/test:line"), from, netip.Addr{}, time.Now())
	if r.events.Len() != 1 {
		t.Error("the agent's event was not taken")
	}
}

// A piece of a pushed file is known when it comes back to the manager that sent it, or to another one that is an ossecd, however near
// its count is to the agent's.
func TestOwnPiecesSentBack(t *testing.T) {
	t.Parallel()
	for _, method := range []proto.Method{proto.Blowfish, proto.AES} {
		sender, back := direct(t, anyLine), direct(t, anyLine)
		from := netip.MustParseAddrPort("192.0.2.9:1111")
		kept := new(keeps)
		a := sender.fleet.Roster().ByID("001")
		p := a.Conversation().(*peer)
		p.setTraits(fleet.Traits{Method: method})
		p.answerTo(listen.ReturnPath{Conn: kept, To: from})
		for range 5 {
			if err := p.Send([]byte("a piece of a file")); err != nil {
				t.Fatal(err)
			}
		}
		first, err := sender.cfg.Sender.(*keys.Sender).Next()
		if err != nil {
			t.Fatal(err)
		}
		event := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: method, Counter: proto.Counter{Global: first.Global - 1, Local: 9990}})
		for _, r := range []*receiver{sender, back} {
			a := r.fleet.Roster().ByID("001")
			r.receive(event("1:l:event"), from, netip.Addr{}, time.Now())
			highest := a.Slot.Highest()
			for range 2 {
				for _, d := range kept.sent {
					r.receive(append([]byte("!001!"), d...), from, netip.Addr{}, time.Now())
				}
			}
			if got := r.refusals.counts[notAnAgents].Load(); got != 10 || a.Slot.Highest() != highest {
				t.Errorf("%v: %d of 10 are known; highest count %d, before %d", method, got, a.Slot.Highest(), highest)
			}
		}
	}
}

// An authentic message that is no event is refused once as malformed, and then as repeated, however many there are. It is a sign of life, and
// counts far below it are old, as with any other message.
func TestNoEventIsRefusedOnce(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5}})
	a := r.fleet.Roster().ByID("001")
	event := seal("1:l:event")
	r.receive(seal(proto.Startup), from, netip.Addr{}, time.Now())
	heard := a.Status().LastSeen
	const many = 100
	var odd [many][]byte
	for i := range odd {
		odd[i] = seal("x")
	}
	for i := range 4 {
		for _, d := range odd {
			r.receive(d, from, netip.Addr{}, time.Now())
		}
		if got, again := r.refusals.counts[badEvent].Load(), r.refusals.counts[repeatedCount].Load(); got != many || again != uint64(many*i) {
			t.Fatalf("after %d times %d are malformed and %d repeated", i+1, got, again)
		}
	}
	if !a.Status().LastSeen.After(heard) || a.Slot.Highest() != 50102 {
		t.Errorf("it showed no life, or the window stayed: %d", a.Slot.Highest())
	}
	r.receive(event, from, netip.Addr{}, time.Now()) // a late one
	if r.events.Len() != 1 {
		t.Error("the agent's event was not taken")
	}
	for range proto.WindowWidth {
		r.receive(seal("x"), from, netip.Addr{}, time.Now())
	}
	r.receive(odd[0], from, netip.Addr{}, time.Now())
	if n := r.refusals.counts[oldCount].Load(); n != 1 {
		t.Errorf("%d are too old", n)
	}
}

// What is no event and counts far above all that was heard may be a piece of a file from a stock manager, or from an ossecd before it marked
// its own messages, that somebody sends back: it does not make the agent's own counts look old.
func TestNoEventFarAhead(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5}})
	a := r.fleet.Roster().ByID("001")
	ahead := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5, Local: 1 + proto.WindowWidth}})("x")
	r.receive(ahead, from, netip.Addr{}, time.Now())
	r.receive(seal(proto.Startup), from, netip.Addr{}, time.Now())
	heard := a.Status().LastSeen
	r.receive(ahead, from, netip.Addr{}, time.Now())
	if got := r.refusals.counts[badEvent].Load(); got != 2 || a.Slot.Highest() != 50001 || !a.Status().LastSeen.Equal(heard) {
		t.Errorf("%d malformed; highest count %d, last seen %v", got, a.Slot.Highest(), a.Status().LastSeen)
	}
	r.receive(seal("1:l:event"), from, netip.Addr{}, time.Now())
	for range 2 {
		r.receive(ahead, from, netip.Addr{}, time.Now()) // near enough by now
	}
	if got, again := r.refusals.counts[badEvent].Load(), r.refusals.counts[repeatedCount].Load(); got != 3 || again != 1 {
		t.Errorf("%d malformed, %d repeated", got, again)
	}
}

// Answers follow control messages; of agents that are ours they follow fresh events too, so that a NAT may change
// its mind between two keepalives.
func TestReturnPath(t *testing.T) {
	t.Parallel()
	first, second := netip.MustParseAddrPort("192.0.2.9:1111"), netip.MustParseAddrPort("192.0.2.9:2222")
	for _, tt := range []struct {
		program string
		want    netip.AddrPort
	}{{"OSSEC HIDS v4.2.0", first}, {"ossecd v1", second}} {
		r := direct(t, anyLine)
		seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish})
		r.receive(seal(proto.Startup), first, netip.Addr{}, time.Now())
		r.receive(seal(keepalive(tt.program, 0)), first, netip.Addr{}, time.Now())
		late := seal("1:l:late")
		r.receive(seal("1:l:from another port"), second, netip.Addr{}, time.Now())
		r.receive(late, netip.MustParseAddrPort("192.0.2.9:3333"), netip.Addr{}, time.Now())
		if got := r.fleet.Roster().ByID("001").Conversation().Addr(); got != tt.want {
			t.Errorf("%s: answers go to %v, want %v", tt.program, got, tt.want)
		}
	}
}

// Nothing is allocated for an event. (What its sink makes of it is not looked at here.)
func TestNoAllocationAnEvent(t *testing.T) {
	r := direct(t, anyLine)
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.AES})
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	r.receive(seal(proto.Startup), from, netip.Addr{}, time.Now())
	r.receive(seal(keepalive("ossecd v1", time.Minute)), from, netip.Addr{}, time.Now())
	const events = 200
	var ds [][]byte
	for range 3 * events {
		ds = append(ds, seal("1:/var/log/auth.log:some line"))
	}
	next := 0
	take := func() {
		for range events {
			r.receive(ds[next], from, netip.Addr{}, time.Now())
			next++
		}
		r.events.Clear()
	}
	take()                                                 // room for them is made once
	if n := testing.AllocsPerRun(1, take); n > events/10 { // it runs twice
		t.Errorf("%v allocations for %d events", n, events)
	}
}

// BenchmarkReceive is the receive path behind the socket, from the datagram to the event line that its sink writes.
func BenchmarkReceive(b *testing.B) {
	text := "1:/var/log/auth.log:Nov 22 15:30:01 web01 sshd[4242]: Failed password for invalid user admin from 203.0.113.77 port 52814 ssh2; the next attempt of that address will be the 17th within ten minutes, pid=991"
	from := netip.MustParseAddrPort("192.0.2.9:40000")
	for _, e := range []proto.Envelope{
		{ID: "001", Method: proto.Blowfish}, {ID: "001", Method: proto.AES, Dialect: proto.OSSEC}, {ID: "001", Method: proto.AES, Dialect: proto.Wazuh},
	} {
		b.Run(fmt.Sprint(e.Method, "-", e.Dialect), func(b *testing.B) {
			r := direct(b, anyLine)
			seal := sealAs(b, anyLine, e)
			batch := make([][]byte, 20_000)
			a := r.fleet.Roster().ByID("001")
			refill := func() {
				for i := range batch {
					batch[i] = seal(text)
				}
			}
			refill()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if i == len(batch) {
					a.Slot.Reset() // the same datagrams once more
					i = 0
				}
				r.receive(batch[i], from, netip.Addr{}, time.Now())
				if i++; i%listen.BatchSize == 0 {
					r.handOver(false)
				}
			}
			for why := malformed; why < numReasons; why++ {
				if n := r.refusals.counts[why].Load(); n > 0 {
					b.Fatalf("%d refused: %v", n, why)
				}
			}
		})
	}
}
