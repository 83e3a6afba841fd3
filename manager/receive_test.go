package manager

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/manager/listen"
	"ossecd/proto"
)

func TestEveryFormIsUnderstoodAndAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key, from string
		method    proto.Method
		dialect   proto.Dialect
	}{
		{anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC},
		{anyLine, "192.0.2.9", proto.AES, proto.OSSEC},
		{anyLine, "192.0.2.9", proto.AES, proto.Wazuh},
		{fixedLine, "192.0.2.7", proto.Blowfish, proto.OSSEC},
		{fixedLine, "192.0.2.7", proto.AES, proto.OSSEC},
		{subnetLine, "198.51.100.200", proto.AES, proto.Wazuh},
	} {
		t.Run(fmt.Sprintf("%.3s-%v-%v", tt.key, tt.method, tt.dialect), func(t *testing.T) {
			inBubble(t, []string{anyLine, fixedLine, subnetLine}, func(r *rig) {
				p := r.dial(tt.key, tt.from, tt.method, tt.dialect, 0)
				p.hello()
				p.send("1:/var/log/a:one")
				p.send(keepalive("OSSEC HIDS v4.2.0", 0))
				if got := p.answer(); got != proto.Ack {
					t.Errorf("keepalive answered with %q", got)
				}
				p.send("#!-whatever")
				if got := p.answer(); got != proto.Ack {
					t.Errorf("another control message answered with %q", got)
				}
				p.send("8:/etc/passwd:two: three")
				p.send("1:ossec-keepalive:--MARK--: xyz")
				p.send("1:empty:")
				if got := r.texts(); got != "one,two: three," {
					t.Errorf("events %q", got)
				}
				if got := r.actions(); got != p.key.Name+" connected" {
					t.Errorf("reported %q", got)
				}
			})
		})
	}
}

func TestAMethodChangeChangesTheAnswer(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 0)
		p.hello()
		p.e.Method = proto.AES
		p.hello()
		p.e.Dialect = proto.Wazuh
		p.hello()
		p.e.Method, p.e.Dialect = proto.Blowfish, proto.OSSEC
		p.hello()
	})
}

func TestCounts(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		hello := p.seal(proto.Startup)
		p.write(hello)
		p.answer()
		p.write(hello)
		if got := p.answer(); got != "" {
			r.t.Errorf("a repeated startup was answered with %q", got)
		}
		one, two, three := p.seal("1:l:one"), p.seal("1:l:two"), p.seal("1:l:three")
		for _, d := range [][]byte{three, one, one, two, three, two} {
			p.write(d)
		}
		p.e.Counter = proto.Counter{Global: 7, Local: 9996} // over the roll
		p.send("1:l:last")
		p.send("1:l:first")
		if p.e.Counter != (proto.Counter{Global: 8, Local: 1}) {
			r.t.Fatalf("counter %v", p.e.Counter)
		}
		if got := r.texts(); got != "three,one,two,last,first" {
			r.t.Errorf("events %q", got)
		}
	})
}

func TestALateDatagramMovesNothing(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		late := p.seal(keepalive("OSSEC HIDS v4.2.0", 0))
		p.hello()
		home := p.conn
		p.move("198.51.100.66")
		p.write(late)
		if got := p.answer(); got != "" {
			r.t.Errorf("a late keepalive had its answer sent to where it came from: %q", got)
		}
		p.conn = home
		if got := p.answer(); got != proto.Ack {
			r.t.Errorf("a late keepalive was answered with %q", got)
		}
	})
}

// direct is a manager with its receive path alone: no sockets, no goroutines but the sinks'.
func direct(t testing.TB, lines ...string) *receiver {
	dir := t.TempDir()
	cfg := Config{Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Listen: []string{":0"}, Out: io.Discard}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.Keys, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cfg.State, 0o700); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	m := newManager(cfg, log)
	if err := m.openState(); err != nil {
		t.Fatal(err)
	}
	if err := m.sinks.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.sinks.Start()
	t.Cleanup(func() {
		if err := m.sinks.Close(time.Minute); err != nil {
			t.Error(err)
		}
		if err := m.closeState(); err != nil {
			t.Error(err)
		}
	})
	r, err := m.newReceiver(deaf{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// deaf is a socket that takes answers and forgets them.
type deaf struct{ listen.PacketConn }

func (deaf) WritePacket([]byte, netip.AddrPort, netip.Addr) error { return nil }

// sealAs makes datagrams of an agent, with rising counts.
func sealAs(t testing.TB, keyLine string, e proto.Envelope) func(message string) []byte {
	k := mustKey(t, keyLine)
	c := proto.NewCipher(k.CipherKey())
	s, err := proto.NewSealer(9)
	if err != nil {
		t.Fatal(err)
	}
	return func(message string) []byte {
		e.Counter = e.Counter.Next()
		d, err := s.Seal(nil, c, &e, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

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
	a := r.m.roster.Load().byID["001"]
	if got := r.m.refusals.counts[notAnAgents].Load() + r.m.refusals.counts[badEvent].Load(); got != uint64(len(said)) || a.slot.Highest() != 0 || !a.life.lastSeen.IsZero() {
		t.Errorf("%d of %d refused; highest count %d, last seen %v", got, len(said), a.slot.Highest(), a.life.lastSeen)
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
		a := sender.m.roster.Load().byID["001"]
		a.mu.Lock()
		a.method = method
		a.answerTo(listen.ReturnPath{Conn: kept, To: from})
		for range 5 {
			if err := sender.voice.say(a, []byte("a piece of a file")); err != nil {
				t.Fatal(err)
			}
		}
		a.mu.Unlock()
		first, err := sender.m.sender.Next()
		if err != nil {
			t.Fatal(err)
		}
		event := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: method, Counter: proto.Counter{Global: first.Global - 1, Local: 9990}})
		for _, r := range []*receiver{sender, back} {
			a := r.m.roster.Load().byID["001"]
			r.receive(event("1:l:event"), from, netip.Addr{}, time.Now())
			highest := a.slot.Highest()
			for range 2 {
				for _, d := range kept.sent {
					r.receive(append([]byte("!001!"), d...), from, netip.Addr{}, time.Now())
				}
			}
			if got := r.m.refusals.counts[notAnAgents].Load(); got != 10 || a.slot.Highest() != highest {
				t.Errorf("%v: %d of 10 are known; highest count %d, before %d", method, got, a.slot.Highest(), highest)
			}
		}
	}
}

// keeps is a socket that keeps what is sent.
type keeps struct {
	listen.PacketConn
	sent [][]byte
}

func (k *keeps) WritePacket(d []byte, _ netip.AddrPort, _ netip.Addr) error {
	k.sent = append(k.sent, bytes.Clone(d))
	return nil
}

// An authentic message that is no event is refused once as malformed, and then as repeated, however many there are. It is a sign of life, and
// counts far below it are old, as with any other message.
func TestNoEventIsRefusedOnce(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5}})
	a := r.m.roster.Load().byID["001"]
	event := seal("1:l:event")
	r.receive(seal(proto.Startup), from, netip.Addr{}, time.Now())
	a.life.lastSeen = time.Time{}
	const many = 100
	var odd [many][]byte
	for i := range odd {
		odd[i] = seal("x")
	}
	for i := range 4 {
		for _, d := range odd {
			r.receive(d, from, netip.Addr{}, time.Now())
		}
		if got, again := r.m.refusals.counts[badEvent].Load(), r.m.refusals.counts[repeatedCount].Load(); got != many || again != uint64(many*i) {
			t.Fatalf("after %d times %d are malformed and %d repeated", i+1, got, again)
		}
	}
	if a.life.lastSeen.IsZero() || a.slot.Highest() != 50102 {
		t.Errorf("it showed no life, or the window stayed: %d", a.slot.Highest())
	}
	r.receive(event, from, netip.Addr{}, time.Now()) // a late one
	if r.events.Len() != 1 {
		t.Error("the agent's event was not taken")
	}
	for range proto.WindowWidth {
		r.receive(seal("x"), from, netip.Addr{}, time.Now())
	}
	r.receive(odd[0], from, netip.Addr{}, time.Now())
	if n := r.m.refusals.counts[oldCount].Load(); n != 1 {
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
	a := r.m.roster.Load().byID["001"]
	ahead := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5, Local: 1 + proto.WindowWidth}})("x")
	r.receive(ahead, from, netip.Addr{}, time.Now())
	r.receive(seal(proto.Startup), from, netip.Addr{}, time.Now())
	a.life.lastSeen = time.Time{}
	r.receive(ahead, from, netip.Addr{}, time.Now())
	if got := r.m.refusals.counts[badEvent].Load(); got != 2 || a.slot.Highest() != 50001 || !a.life.lastSeen.IsZero() {
		t.Errorf("%d malformed; highest count %d, last seen %v", got, a.slot.Highest(), a.life.lastSeen)
	}
	r.receive(seal("1:l:event"), from, netip.Addr{}, time.Now())
	for range 2 {
		r.receive(ahead, from, netip.Addr{}, time.Now()) // near enough by now
	}
	if got, again := r.m.refusals.counts[badEvent].Load(), r.m.refusals.counts[repeatedCount].Load(); got != 3 || again != 1 {
		t.Errorf("%d malformed, %d repeated", got, again)
	}
}

// Whoever starts anew under a key is not taken for the program that used it before.
func TestAnotherProgramUsesTheKey(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		for range 2 {
			p.hello()
			p.send(keepalive("ossecd v1", time.Minute))
			if got := p.answer(); !strings.HasPrefix(got, proto.Ack+"run=") {
				t.Errorf("an ossecd is answered with %q", got)
			}
			p.hello() // fails on anything but the plain ack
			p.send(keepalive("OSSEC HIDS v4.2.0", 0))
			if got := p.answer(); got != proto.Ack {
				t.Errorf("a stock agent is answered with %q", got)
			}
		}
	})
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
		if got := r.m.roster.Load().byID["001"].back.To; got != tt.want {
			t.Errorf("%s: answers go to %v, want %v", tt.program, got, tt.want)
		}
	}
}

func TestResetCounter(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		p.e.Counter = proto.Counter{}
		p.send(proto.Startup)
		if got := p.answer(); got != "" {
			r.t.Fatalf("answered with %q", got)
		}
		dir := filepath.Join(r.cfg.State, "reset")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "001"), nil, 0o600); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		p.hello()
	})
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
			a := r.m.roster.Load().byID["001"]
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
					a.slot.Reset() // the same datagrams once more
					i = 0
				}
				r.receive(batch[i], from, netip.Addr{}, time.Now())
				if i++; i%listen.BatchSize == 0 {
					r.handOver(false)
				}
			}
			for why := malformed; why < numReasons; why++ {
				if n := r.m.refusals.counts[why].Load(); n > 0 {
					b.Fatalf("%d refused: %v", n, why)
				}
			}
		})
	}
}
