package manager

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// forgetCounter asks for the reset of an agent's received counter, as keygen reset-counter does.
func (r *rig) forgetCounter(id string) {
	r.t.Helper()
	dir := filepath.Join(r.cfg.State, "reset")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, id), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
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
		r.forgetCounter("001")
		p.hello()
	})
}

// After a reset an agent's keepalives tell anew what it is, though their counts are below those of before.
func TestConversationAfterReset(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		p.send(keepalive("ossecd v1", time.Minute))
		run, _ := proto.ParseRun([]byte(strings.TrimPrefix(p.answer(), proto.Ack)))
		r.runName = run.Name
		p.send(converses("BEFORE"))
		p.said("BEFORE")
		r.forgetCounter("001")
		p.e.Counter = proto.Counter{Global: 3}
		p.hello()
		p.send(converses("AFTER"))
		got, ok := proto.ParseRun([]byte(strings.TrimPrefix(p.said("AFTER"), proto.Ack)))
		if !ok || got.First.Value() > p.e.Counter.Value() {
			t.Errorf("answered with %+v, %t", got, ok)
		}
	})
}
