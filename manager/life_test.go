package manager

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/durable"
	"ossecd/manager/sink"
	"ossecd/proto"
)

func TestDisconnectExactly(t *testing.T) {
	t.Parallel()
	stock, ours := keepalive("OSSEC HIDS v4.2.0", 0), keepalive("ossecd v1", time.Minute)
	tests := []struct {
		name  string
		after time.Duration
		play  func(p *peer) // leaves its last message at the present time
		want  time.Duration // after the last message
	}{
		{"a fixed time", 15 * time.Minute, func(p *peer) {}, 15 * time.Minute},
		{"auto, nothing known", 0, func(p *peer) {}, 30*time.Minute + 30*time.Second},
		{"auto, one keepalive", 0, func(p *peer) { p.send(stock) }, 30*time.Minute + 30*time.Second},
		{"auto, seen", 0, func(p *peer) {
			for range 3 {
				p.send(stock)
				time.Sleep(10 * time.Second)
			}
			p.send(stock)
		}, 60 * time.Second},
		{"auto, extra keepalives do not shorten it", 0, func(p *peer) {
			p.send(stock)
			time.Sleep(10 * time.Minute)
			p.send(stock)
			for range 2 {
				time.Sleep(time.Second)
				p.send(stock)
			}
		}, 30*time.Minute + 30*time.Second},
		{"auto, told", 0, func(p *peer) { p.send(ours); time.Sleep(time.Second); p.send(ours) }, 3*time.Minute + 30*time.Second},
		{"events are life", 15 * time.Minute, func(p *peer) {
			for range 10 {
				time.Sleep(10 * time.Minute)
				p.send("1:l:x")
			}
		}, 15 * time.Minute},
		{"marks are life", 15 * time.Minute, func(p *peer) { time.Sleep(10 * time.Minute); p.send("1:ossec-keepalive:--MARK--: x") }, 15 * time.Minute},
		{"replays are not", 15 * time.Minute, func(p *peer) {
			d := p.send("1:l:x")
			synctest.Wait()
			go func() { time.Sleep(10 * time.Minute); p.conn.Write(d) }()
		}, 15 * time.Minute},
		{"a goodbye", 15 * time.Minute, func(p *peer) { p.send(proto.Shutdown) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, anyLine)
				r.cfg.DisconnectAfter = tt.after
				r.start()
				p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
				p.send(proto.Startup)
				tt.play(p)
				synctest.Wait()
				if tt.want > 0 {
					time.Sleep(tt.want - time.Millisecond)
					if got := r.actions(); got != "web01 connected" {
						t.Errorf("just before: %q", got)
					}
					time.Sleep(time.Millisecond)
				}
				if got := r.actions(); got != "web01 connected,web01 disconnected" {
					t.Errorf("then: %q", got)
				}
				time.Sleep(time.Hour)
				p.send("1:l:an event alone does not connect")
				synctest.Wait()
				p.send(keepalive("OSSEC HIDS v4.2.0", 0))
				if got := r.actions(); got != "web01 connected,web01 disconnected,web01 connected" {
					t.Errorf("after its return: %q", got)
				}
				r.end()
			})
		})
	}
}

func TestLifeOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine)
		r.cfg.DisconnectAfter = 10 * time.Minute
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		q := r.dial(fixedLine, "192.0.2.7", proto.AES, proto.OSSEC, 7)
		p.hello()
		q.hello()
		r.end()
		time.Sleep(time.Hour)
		r.start()
		time.Sleep(9 * time.Minute)
		p.send(keepalive("OSSEC HIDS v4.2.0", 0))
		if got := p.answer(); got != proto.Ack {
			t.Errorf("answered with %q", got)
		}
		if got := r.actions(); got != "web01 connected,db01 connected,web01 connected" {
			t.Errorf("before a full waiting time: %q", got)
		}
		time.Sleep(2 * time.Minute)
		if got := r.actions(); got != "web01 connected,db01 connected,web01 connected,db01 disconnected" {
			t.Errorf("after it: %q", got)
		}
		r.end()
		r.start() // both reported now; one is still connected
		time.Sleep(time.Hour)
		if got := r.actions(); got != "web01 connected,db01 connected,web01 connected,db01 disconnected,web01 disconnected" {
			t.Errorf("after another restart: %q", got)
		}
		r.end()
	})
}

func TestCountsOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		one, two, three := p.seal("1:l:one"), p.seal("1:l:two"), p.seal("1:l:three")
		p.write(one)
		p.write(three)
		synctest.Wait()
		r.end()
		text, err := os.ReadFile(filepath.Join(r.cfg.State, "rids", "001"))
		if err != nil || string(text) != "7:4:" {
			t.Errorf("rids/001 has %q, %v", text, err)
		}
		r.start()
		for _, d := range [][]byte{one, two, two, three} {
			p.write(d)
		}
		if got := r.texts(); got != "one,three,two" {
			t.Errorf("events %q", got)
		}
		p.hello() // its answers count on
		r.end()
	})
}

func TestStockRidsAreTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		rids := filepath.Join(r.cfg.State, "rids")
		if err := os.MkdirAll(rids, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"001": "40:12:55:", "sender_counter": "4000000000:7:", "garbage": "x", "009": "no counter"} {
			if err := os.WriteFile(filepath.Join(rids, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 40)
		p.e.Counter.Local = 10
		p.send("1:l:11")
		p.send("1:l:12")
		p.send("1:l:13")
		if got := r.texts(); got != "13" {
			t.Errorf("events %q", got)
		}
		p.hello()
		if p.last.Global <= 4000000000 {
			t.Errorf("the manager counts %v, below what the stock one used", p.last)
		}
		r.end()
	})
}

func TestKeysWhileRunning(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.send(proto.Startup)
		if got := p.answer(); got != "" {
			r.t.Fatalf("no key yet, and answered with %q", got)
		}
		r.writeKeys(anyLine)
		time.Sleep(2 * time.Second)
		p.hello()
		old := p.send("1:l:one")

		r.writeKeys(anyLine, fixedLine)
		time.Sleep(2 * time.Second)
		p.send("1:l:two")
		r.dial(fixedLine, "192.0.2.7", proto.Blowfish, proto.OSSEC, 7).hello()

		if err := os.Remove(r.cfg.Keys); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		p.send("1:l:three")
		synctest.Wait()

		r.writeKeys(fixedLine)
		time.Sleep(2 * time.Second)
		p.send("1:l:removed")
		r.writeKeys(anyLine, fixedLine)
		time.Sleep(2 * time.Second)
		p.write(old) // the counter was not forgotten
		p.send("1:l:four")
		synctest.Wait()

		changed := anyLine[:len(anyLine)-4] + "0000"
		r.writeKeys(changed, fixedLine)
		time.Sleep(2 * time.Second)
		p.send("1:l:with the old key")
		q := r.dial(changed, "192.0.2.9", proto.Blowfish, proto.OSSEC, 0) // starts anew
		q.send("1:l:five")
		if got := r.texts(); got != "one,two,three,four,five" {
			r.t.Errorf("events %q\n%s", got, r.logs.String())
		}
	})
}

func TestASecondManagerOnTheStateIsRefused(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		cfg := r.cfg
		cfg.Ready = nil
		err := Run(r.t.Context(), cfg, nil)
		if !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), "process") {
			r.t.Errorf("%v", err)
		}
	})
}

func TestStopWithABlockedReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		w := &gated{gate: make(chan struct{})}
		r.cfg.Out = w
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		for range 10 {
			p.send("1:l:x")
		}
		synctest.Wait()
		began := time.Now()
		r.stop()
		<-r.ended
		err := r.err
		if !errors.Is(err, sink.ErrUnwritten) || !strings.Contains(err.Error(), "11 events") || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(w.gate)
	})
}

// Agents that are ours are told which run of the manager answers, and which counts went to nobody between two runs.
func TestTheRunIsTold(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		run := func() (got proto.Run) {
			t.Helper()
			p.send(keepalive("ossecd v1", time.Minute))
			_, behind := proto.ParseFromManager([]byte(p.answer()))
			got, ok := proto.ParseRun(behind)
			if !ok {
				t.Fatalf("%q names no run", behind)
			}
			return got
		}
		p.hello() // which is answered as any agent's: it has not said yet what it is
		began := p.e.Counter
		one := run()
		if one.Last != (proto.Counter{}) || one.First != began {
			t.Errorf("at first: %+v, the agent began with %v", one, began)
		}
		p.send("1:l:counted")
		last := p.e.Counter
		if again := run(); again != one {
			t.Errorf("%+v, before %+v", again, one)
		}
		r.end()
		p.seal("1:l:went to nobody")
		r.start()
		two := run()
		if two.Name == one.Name || two.Last != last || two.First != p.e.Counter {
			t.Errorf("after a restart: %+v, want last %v, first %v", two, last, p.e.Counter)
		}
	})
}
