package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/proto"
)

// An agent whose key is taken away, or given another address, while it is connected: the first is let go of, the second
// is still watched, and the manager goes on watching the others and stops when told.
func TestWatchOverAChangeOfKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"removed", []string{fixedLine}, "web01 connected,db01 connected,db01 disconnected"},
		{"another address", []string{"001 web01 192.0.2.0/24" + anyLine[len("001 web01 any"):], fixedLine},
			"web01 connected,db01 connected,web01 disconnected,db01 disconnected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, anyLine, fixedLine)
				r.cfg.DisconnectAfter = 10 * time.Minute
				r.start()
				r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7).hello()
				time.Sleep(time.Second)
				r.dial(fixedLine, "192.0.2.7", proto.AES, proto.OSSEC, 7).hello()
				time.Sleep(time.Second)
				r.writeKeys(tt.lines...)
				time.Sleep(11 * time.Minute)
				if got := r.actions(); got != tt.want {
					t.Errorf("reported %q, want %q", got, tt.want)
				}
				r.end()
			})
		})
	}
}

// What the network delivers late says how things were: an agent that came back is not gone, and answers keep to the cipher
// that it uses now.
func TestALateDatagramIsOfThePast(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.AES, proto.Wazuh, 7)
		p.hello()
		event, bye := p.seal("1:l:late"), p.seal(proto.Shutdown)
		p.e.Method = proto.Blowfish
		p.hello()
		p.write(event)
		p.write(bye)
		if got := r.actions(); got != "web01 connected" {
			r.t.Errorf("reported %q", got)
		}
		p.e.Counter.Global = 7 // late as well
		p.e.Counter.Local = 100
		p.e.Method = proto.AES
		late := p.seal("#!-whatever")
		p.e.Counter.Local = 200
		p.e.Method = proto.Blowfish
		p.hello()
		p.write(late)
		if got := p.answer(); got != proto.Ack { // fails where the answer is in AES
			r.t.Errorf("a late control message was answered with %q", got)
		}
	})
}

// An agent that comes and goes without end fills neither the log nor the queue of events, and its changes are summed up.
func TestAnAgentThatComesAndGoes(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		const times = 50
		for range times {
			p.hello()
			p.send(proto.Shutdown)
			time.Sleep(time.Second / 10)
		}
		reports := func() (n, untold int, last string) {
			for _, l := range r.lines() {
				n, untold, last = n+1, untold+l.Event.Untold, l.Event.Action
			}
			return n, untold, last
		}
		if n, _, _ := reports(); n != changesAtOnce {
			r.t.Errorf("%d changes reported at once, want %d", n, changesAtOnce)
		}
		if n := strings.Count(r.logs.String(), "comes and goes"); n != 1 {
			r.t.Errorf("logged %d times that it comes and goes, want 1", n)
		}
		if n, m := strings.Count(r.logs.String(), "agent connected"), strings.Count(r.logs.String(), "agent disconnected"); n != 1 || m != 1 {
			r.t.Errorf("logged %d times as connected and %d times as disconnected within a minute, want 1", n, m)
		}
		if l := r.logs.String(); !strings.Contains(l, "reason=goodbye") || strings.Contains(l, "firewall") {
			r.t.Errorf("who said goodbye is looked for behind firewalls: %s", l)
		}
		time.Sleep(limitlog.Every)
		if n, untold, last := reports(); n+untold != 2*times || last != "agent-disconnected" {
			r.t.Errorf("%d changes reported and %d summed up, the last of them %s; want %d in all, the last a goodbye", n, untold, last, 2*times)
		}
		time.Sleep(time.Minute)
		p.hello()
		synctest.Wait() // the line comes after the answer
		if n := strings.Count(r.logs.String(), "agent connected"); n != 2 {
			r.t.Errorf("logged %d times as connected, want 2 after a minute", n)
		}
	})
}

// Agents, somebody who forges their IDs and replays what they send, and changes of keys, all
// at once over real sockets: nothing is let in twice, and the manager ends when told. The race detector looks on.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const agents, events = 6, 100
	var lines []string
	for i := range agents {
		lines = append(lines, fmt.Sprintf("%03d web%02d any %064d", i+1, i+1, i+1))
	}
	writeKeys := func(lines []string) {
		tmp := filepath.Join(dir, "new")
		if err := errors.Join(os.WriteFile(tmp, []byte(strings.Join(lines, "\n")+"\n"), 0o600), os.Rename(tmp, filepath.Join(dir, "client.keys"))); err != nil {
			t.Error(err)
		}
	}
	writeKeys(lines)
	var out syncBuffer
	hangup, ready := make(chan os.Signal, 1), make(chan netip.AddrPort, 1)
	cfg := Config{Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Listen: []string{"127.0.0.1:0"}, Out: &out,
		Hangup: hangup, Ready: func(a []netip.AddrPort) { ready <- a[0] }}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, quiet) }()
	addr := <-ready

	var playing, disturbing sync.WaitGroup
	over := make(chan struct{})
	for i, l := range lines {
		seal := sealAs(t, l, proto.Envelope{ID: l[:3], Method: proto.Method(1 + i%2), Dialect: proto.OSSEC, Counter: proto.Counter{Global: 7}})
		playing.Go(func() {
			honest, err1 := net.Dial("udp", addr.String())
			forger, err2 := net.Dial("udp", addr.String())
			if err := errors.Join(err1, err2); err != nil {
				t.Error(err)
				return
			}
			defer honest.Close()
			defer forger.Close()
			for n := range events {
				message := fmt.Sprintf("1:l:%s-%d", l[:3], n)
				if n%20 == 0 {
					message = proto.Startup
				}
				d := seal(message)
				honest.Write(d)
				forger.Write(d)
				forger.Write(append([]byte("!"+l[:3]+"!:"), make([]byte, 64)...))
				forger.Write(d[:len(d)-8])
				time.Sleep(time.Millisecond)
			}
		})
	}
	disturbing.Go(func() {
		for n := 0; ; n++ {
			moved := slices.Clone(lines)
			moved[n%agents] = strings.Replace(moved[n%agents], " any ", " 127.0.0.0/8 ", 1)
			writeKeys(moved)
			select {
			case hangup <- nil:
			default:
			}
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	playing.Wait()
	close(over)
	disturbing.Wait()
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	stop()
	if err := <-ended; err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("ended after %v with %v", time.Since(began), err)
	}
	seen := map[string]bool{}
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.Location == "l" && seen[l.FullLog] {
			t.Errorf("%s came in twice", l.FullLog)
		}
		seen[l.FullLog] = true
	}
	if len(seen) < agents*events/2 {
		t.Errorf("only %d events came in", len(seen))
	}
}

// Counts around 2^31 and up to the last of all: higher ones pass, lower ones do not, and an agent that started anew after
// its clock had once been far ahead is named in the log with the way out.
func TestCountsFarAhead(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 0)
		year := uint32(365 * 24 * 3600)
		for _, c := range []proto.Counter{{Global: 1_795_000_000}, {Global: 1_795_000_000 + year}, {Global: 1<<31 - 1, Local: 9996}, {Global: 1<<31 + 1}, {Global: 1<<32 - 1, Local: 9995}} {
			p.e.Counter = c
			p.hello()
			p.send("1:l:passes")
		}
		last := p.e.Counter
		if (last != proto.Counter{Global: 1<<32 - 1, Local: 9997}) || strings.Count(r.texts(), "passes") != 5 {
			r.t.Errorf("%v, events %q", last, r.texts())
		}
		for _, c := range []proto.Counter{{Global: 1<<32 - 1, Local: 9996}, {}, {Global: 1_795_000_001}, {Global: 1 << 31}} {
			p.e.Counter = c
			p.send(proto.Startup)
			if got := p.answer(); got != "" {
				r.t.Errorf("%v after %v was answered with %q", c, last, got)
			}
		}
		logs := r.logs.String()
		if n := strings.Count(logs, "lost its counter"); n != 1 || !strings.Contains(logs, "reset-counter 001") || !strings.Contains(logs, "last_global=4294967295") {
			r.t.Errorf("told %d times:\n%s", n, logs)
		}
	})
}
