package manager

import (
	"strings"
	"testing"
	"time"

	"ossecd/proto"
)

// clones are the reports of cloned agents.
func (r *rig) clones() (texts []string) {
	for _, l := range r.lines() {
		if l.Event.Action == "agent-cloned" {
			texts = append(texts, l.FullLog)
		}
	}
	return texts
}

const (
	hostA = "192.0.2.1"
	hostB = "192.0.2.2"
)

// TestTwoHosts has two living agents with one key: they are reported, with both addresses, within a minute.
func TestTwoHosts(t *testing.T) {
	for name, globals := range map[string][2]uint32{
		"started an hour apart": {1000, 4600}, "copies that count from the same": {7, 7}, "a second apart": {1000, 1001},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []string{anyLine}, func(r *rig) {
				a := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, globals[0])
				b := r.dial(anyLine, hostB, proto.Blowfish, proto.OSSEC, globals[1])
				// Each sends on, at a pace of its own, whether or not it is answered.
				a.send(proto.Startup)
				b.send(proto.Startup)
				for s := range 59 {
					time.Sleep(time.Second)
					if s%4 != 0 {
						b.send("1:b:b")
					}
					if s%3 == 0 {
						a.send("1:a:a")
					}
				}
				got := r.clones()
				if len(got) != 1 || !strings.Contains(got[0], "ossec: Agent key used by two hosts: 'web01-any' (") ||
					!strings.Contains(got[0], hostA) || !strings.Contains(got[0], hostB) {
					t.Errorf("got %q", got)
				}
				if !strings.Contains(r.logs.String(), "two hosts use one key") {
					t.Error("nothing is logged")
				}
			})
		})
	}
}

// TestTwoHostsInTurn has two agents which, as ours do, begin a new row of counts when they are not answered.
func TestTwoHostsInTurn(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		a := r.dial(anyLine, hostA, proto.AES, proto.OSSEC, 1000)
		b := r.dial(anyLine, hostB, proto.AES, proto.OSSEC, 1000)
		for s := range uint32(58) {
			time.Sleep(time.Second)
			if s%8 == 0 {
				a.e.Counter = proto.Counter{Global: 1100 + s}
			}
			if s%8 == 4 {
				b.e.Counter = proto.Counter{Global: 1100 + s}
			}
			a.send("1:a:a")
			b.send("1:b:b")
		}
		if got := r.clones(); len(got) != 1 || !strings.Contains(got[0], hostA) || !strings.Contains(got[0], hostB) {
			t.Errorf("got %q", got)
		}
	})
}

// TestOneHost has one agent, and what may look like two.
func TestOneHost(t *testing.T) {
	for name, play := range map[string]func(r *rig, a *peer){
		"moves": func(r *rig, a *peer) {
			for i := range 60 {
				a.move([]string{hostA, hostB}[i%2])
				a.send("1:a:a")
				time.Sleep(time.Second)
			}
		},
		"moves, with late datagrams": func(r *rig, a *peer) {
			for i := range 60 {
				late := a.seal("1:a:late")
				old := a.conn
				a.move([]string{hostA, hostB}[i%2])
				a.send("1:a:a")
				old.Write(late)
				time.Sleep(time.Second)
			}
		},
		"restarts": func(r *rig, a *peer) {
			for i := range uint32(60) {
				last := a.seal("1:a:last")
				old := a.conn
				a.e.Counter = proto.Counter{Global: 2000 + i}
				a.move(hostA)
				a.send(proto.Startup)
				old.Write(last) // overtaken
				time.Sleep(time.Second)
			}
		},
		"still ending while its successor starts": func(r *rig, a *peer) {
			next := r.dial(anyLine, hostB, proto.Blowfish, proto.OSSEC, 2000)
			next.send(proto.Startup)
			for s := range 60 {
				if time.Duration(s)*time.Second < signsOver-time.Second {
					a.send("1:a:last")
				}
				time.Sleep(time.Second)
				next.send("1:a:a")
			}
		},
		"restored, with a lost counter": func(r *rig, a *peer) {
			for range 40 {
				a.send("1:a:a")
			}
			a.e.Counter.Local -= 30
			a.move(hostB)
			for range 60 {
				a.send("1:a:b")
				time.Sleep(time.Second)
			}
		},
		"replayed by another": func(r *rig, a *peer) {
			var seen [][]byte
			for range 20 {
				seen = append(seen, a.send("1:a:a"))
			}
			a.e.Counter = proto.Counter{Global: 3000} // what was seen is too old now
			attacker := r.dial(anyLine, hostB, proto.Blowfish, proto.OSSEC, 1)
			for i := range 60 {
				seen = append(seen, a.send("1:a:b"))
				time.Sleep(time.Second)
				attacker.write(seen[i])
				attacker.write(seen[len(seen)-1])
			}
		},
		"restored, then replayed by another": func(r *rig, a *peer) {
			for range 40 {
				a.send("1:a:a")
			}
			a.e.Counter.Local -= 30
			var seen [][]byte
			for range 30 {
				seen = append(seen, a.send("1:a:b"))
			}
			attacker := r.dial(anyLine, hostB, proto.Blowfish, proto.OSSEC, 1)
			for i := range 60 {
				a.send("1:a:c")
				time.Sleep(time.Second)
				attacker.write(seen[i%len(seen)])
			}
		},
		"guessed at": func(r *rig, a *peer) {
			attacker := r.dial(strings.Replace(anyLine, "6e5d", "0000", 1), hostB, proto.Blowfish, proto.OSSEC, 1)
			for range 60 {
				a.send("1:a:b")
				time.Sleep(time.Second)
				attacker.send("1:a:x")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []string{anyLine}, func(r *rig) {
				a := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 1000)
				a.send(proto.Startup)
				play(r, a)
				if got := r.clones(); len(got) > 0 {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}
