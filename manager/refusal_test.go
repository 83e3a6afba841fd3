package manager

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
)

func TestLostCounterIsNamed(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		p.e.Counter = proto.Counter{}
		for range 4 {
			p.send(proto.Startup)
			if got := p.answer(); got != "" {
				r.t.Errorf("answered with %q", got)
			}
		}
		logs := r.logs.String()
		if n := strings.Count(logs, "lost its counter"); n != 1 || !strings.Contains(logs, "reset-counter 001") {
			r.t.Errorf("told %d times:\n%s", n, logs)
		}
		// A replay of old events without a startup is no lost counter.
		q := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 6000)
		q.hello()
		time.Sleep(2 * time.Minute)
		q.e.Counter = proto.Counter{Global: 5100}
		for range 5 {
			q.send("1:l:old")
		}
		synctest.Wait()
		if n := strings.Count(r.logs.String(), "lost its counter"); n != 1 {
			r.t.Errorf("told %d times", n)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	bad := func(p *peer, change func(d []byte) []byte) func() []byte {
		return func() []byte { return change(p.seal("1:l:must not come out")) }
	}
	same := func(d []byte) []byte { return d }
	tests := []struct {
		name, key, from, accept string
		want                    string
		change                  func(d []byte) []byte
	}{
		{"unknown ID", "009 nobody any secretsecret", "192.0.2.9", "any", "unknown ID", same},
		{"ID in another spelling", anyLine, "192.0.2.9", "any", "unknown ID", func(d []byte) []byte { return append([]byte("!0001!"), d[5:]...) }},
		{"unknown address", fixedLine, "192.0.2.8", "any", "unknown address", same},
		{"no prefix though any", anyLine, "192.0.2.9", "any", "unknown address", func(d []byte) []byte { return d[5:] }},
		{"outside the network", subnetLine, "192.0.2.9", "any", "wrong source address", same},
		{"fixed address with prefix from elsewhere", fixedLine, "192.0.2.8", "any", "wrong source address", func(d []byte) []byte { return append([]byte("!002!"), d...) }},
		{"another key", "001 web01 any anothersecret", "192.0.2.9", "any", "wrong key", same},
		{"another name", strings.Replace(anyLine, "web01", "web02", 1), "192.0.2.9", "any", "wrong key", same},
		{"changed byte", anyLine, "192.0.2.9", "any", "wrong checksum", func(d []byte) []byte { d[len(d)-30] ^= 1; return d }},
		{"cipher", anyLine, "192.0.2.9", "aes", "cipher not accepted", same},
		{"cut", anyLine, "192.0.2.9", "any", "malformed", func(d []byte) []byte { return d[:len(d)-1] }},
		{"nothing behind the ID", anyLine, "192.0.2.9", "any", "malformed", func(d []byte) []byte { return d[:5] }},
		{"only the tag", anyLine, "192.0.2.9", "any", "malformed", func(d []byte) []byte { return d[:6] }},
		{"empty", anyLine, "192.0.2.9", "any", "malformed", func(d []byte) []byte { return nil }},
		{"path as ID", anyLine, "192.0.2.9", "any", "malformed", func(d []byte) []byte { return append([]byte("!../../x!"), d[5:]...) }},
		{"65,507 bytes of noise", anyLine, "192.0.2.9", "any", "malformed", func(d []byte) []byte { return make([]byte, 65_507) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, anyLine, fixedLine, subnetLine)
				r.cfg.CryptoAccept = tt.accept
				r.start()
				p := r.dial(tt.key, tt.from, proto.Blowfish, proto.OSSEC, 7)
				make := bad(p, tt.change)
				for range 50 {
					p.write(make())
					synctest.Wait() // large ones would fill the socket
				}
				if got := p.answer(); got != "" {
					t.Errorf("answered with %q", got)
				}
				if got := r.out.String(); got != "" {
					t.Errorf("events %q", got)
				}
				logs := r.logs.String()
				if n := strings.Count(logs, "msg=refused"); n != 1 {
					t.Errorf("%d log lines at once:\n%s", n, logs)
				}
				if !strings.Contains(logs, `reason="`+tt.want+`"`) && !strings.Contains(logs, "reason="+tt.want+" ") {
					t.Errorf("want %q in:\n%s", tt.want, logs)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if logs := r.logs.String(); strings.Count(logs, "msg=refused") != 2 || !strings.Contains(logs, "count=49") {
					t.Errorf("want the other 49 in a second line after a minute:\n%s", logs)
				}
				r.end()
				if logs := r.logs.String(); !strings.Contains(logs, "msg=stopped") || !strings.Contains(logs, "=50") {
					t.Errorf("want the count at the end:\n%s", logs)
				}
			})
		})
	}
}

func TestRefusedEventsAreLoggedOncePerAgentAndMinute(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		for range 10 {
			p.send("no event")
			p.send("1:text")
		}
		d := p.send("1:l:good")
		for range 10 {
			p.write(d)
		}
		synctest.Wait()
		logs := r.logs.String()
		if strings.Count(logs, `reason="malformed event"`) != 1 || strings.Count(logs, `reason="repeated count"`) != 1 {
			r.t.Errorf("logged:\n%s", logs)
		}
		if got := r.texts(); got != "good" {
			r.t.Errorf("events %q", got)
		}
	})
}
