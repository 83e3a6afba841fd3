package manager

import (
	"os"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/proto"
)

// rotate orders a new key for agent 001, and returns when it is in force.
func (r *rig) rotate() keys.Key {
	r.t.Helper()
	var next keys.Key
	err := keys.Edit(r.t.Context(), r.cfg.Keys, func(f *keys.File) (err error) {
		next, _, err = f.Rotate("001", time.Now())
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	return next
}

// use has the agent seal and open with another key.
func (p *peer) use(k keys.Key) { p.cipher = proto.NewCipher(k.CipherKey()) }

func (r *rig) keysFile() string {
	r.t.Helper()
	text, err := os.ReadFile(r.cfg.Keys)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

var takesKey = string(proto.AppendKeepalive(nil, &proto.Keepalive{Program: "ossecd v1", NotifyTime: time.Minute, TakesKey: true}))

func TestRotation(t *testing.T) {
	for name, method := range map[string]proto.Method{"blowfish": proto.Blowfish, "aes": proto.AES} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []string{anyLine}, func(r *rig) {
				p := r.dial(anyLine, hostA, method, proto.OSSEC, 1000)
				old := p.key
				p.hello()
				next := r.rotate()
				p.send(keepalive("OSSEC HIDS v4.2.0", 0))
				p.send(keepalive("ossecd v1", time.Minute))
				for range 2 {
					if got := p.answer(); !strings.HasPrefix(got, proto.Ack) {
						t.Errorf("answered with %.30q", got)
					}
				}
				if got := p.answer(); got != "" {
					t.Errorf("an agent that does not take keys is sent %.30q", got)
				}
				for range 2 { // told again until it is used
					p.send(takesKey)
					if got := p.answer(); !strings.HasPrefix(got, proto.Ack) {
						t.Errorf("answered with %.30q", got)
					}
					if got := p.answer(); got != proto.NewKey+next.Line() {
						t.Fatalf("told %.30q", got)
					}
				}
				if got := r.keysFile(); got != old.Line()+"\n" {
					t.Error("the keys file was changed before the key was used")
				}
				before := p.seal("1:a:under the old key")
				p.use(next)
				p.send("1:a:under the new key")
				p.write(before) // overtaken
				time.Sleep(2 * time.Second)
				if got := r.keysFile(); got != next.Line()+"\n" {
					t.Error("the new key was used, and is not in the keys file")
				}
				p.send(takesKey)
				if got := p.answer(); !strings.HasPrefix(got, proto.Ack) {
					t.Errorf("answered with %.30q under the new key", got)
				}
				if got := p.answer(); got != "" {
					t.Errorf("told %.30q when all is done", got)
				}
				p.use(old)
				p.send(proto.Startup)
				if got := p.answer(); got != "" {
					t.Errorf("the old key is answered: %.30q", got)
				}
				if got := r.texts(); !strings.HasPrefix(got, "under the new key") {
					t.Errorf("events: %s", got)
				}
				if got := r.actions(); got != "web01 connected" {
					t.Errorf("reported: %s", got)
				}
			})
		})
	}
}

// A stock agent gets its new key by hand, and may count from the beginning under it.
func TestRotationByHand(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 1000)
		p.hello()
		next := r.rotate()
		p.use(next)
		p.e.Counter = proto.Counter{}
		p.hello()
		p.send("1:a:x")
		time.Sleep(2 * time.Second)
		if r.keysFile() != next.Line()+"\n" || r.texts() != "x" || r.actions() != "web01 connected" {
			t.Errorf("events %s, reported %s", r.texts(), r.actions())
		}
	})
}

// The first message under the next key ends the old one, also while the keys file cannot be changed.
func TestRotationWaitsForTheFile(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 1000)
		old := p.key
		next := r.rotate()
		unlock, err := durable.LockFile(t.Context(), r.cfg.Keys)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { unlock() }()
		p.hello() // nobody has used the next one
		p.use(next)
		p.hello()
		p.use(old)
		for _, text := range []string{proto.Startup, takesKey, "1:a:under the old key"} {
			p.send(text)
		}
		if got := p.answer(); got != "" {
			t.Errorf("the old key is answered: %.30q", got)
		}
		time.Sleep(4 * time.Second)
		p.use(next)
		p.hello()
		p.send("1:a:under the new key")
		if r.keysFile() != old.Line()+"\n" {
			t.Error("the file was changed under a lock")
		}
		unlock()
		unlock = func() {}
		time.Sleep(3 * restEvery)
		p.hello()
		if r.keysFile() != next.Line()+"\n" || r.texts() != "under the new key" {
			t.Errorf("the new key is not in the file, or events: %s", r.texts())
		}
		if !strings.Contains(r.logs.String(), `reason="retired key"`) {
			t.Errorf("nothing is said of the retired key:\n%s", r.logs)
		}
	})
}

// That the line of an agent changes otherwise does not bring its old key back.
func TestRotationOfAChangedLine(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 1000)
		old := p.key
		next := r.rotate()
		unlock, err := durable.LockFile(t.Context(), r.cfg.Keys)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		p.use(next)
		p.hello()
		r.writeKeys("001 web01 0.0.0.0/0 " + old.Secret)
		time.Sleep(4 * time.Second)
		p.use(old)
		p.send(proto.Startup)
		if got := p.answer(); got != "" {
			t.Errorf("the old key is answered: %.30q", got)
		}
		p.use(next)
		p.hello()
	})
}

// A rotation that is called off leaves an agent its own key, even where it had used the next one.
func TestRotationCalledOff(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 1000)
		old := p.key
		next := r.rotate()
		unlock, err := durable.LockFile(t.Context(), r.cfg.Keys)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		p.use(next)
		p.hello()
		if err := os.Remove(keys.NotesPath(r.cfg.Keys)); err != nil {
			t.Fatal(err)
		}
		r.writeKeys(old.Line(), fixedLine)
		time.Sleep(4 * time.Second)
		p.use(old)
		p.hello()
	})
}

func TestRemovedAgentIsTold(t *testing.T) {
	inBubble(t, []string{anyLine, fixedLine, subnetLine}, func(r *rig) {
		ours := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 1000)
		single := r.dial(fixedLine, "192.0.2.7", proto.AES, proto.OSSEC, 1000)
		stock := r.dial(subnetLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 1000)
		ours.ours, single.ours = true, true
		old := ours.send(keepalive("ossecd v1", time.Minute))
		single.send(keepalive("ossecd v1", time.Minute))
		stock.send(keepalive("OSSEC HIDS v4.2.0", 0))
		for _, p := range []*peer{ours, single, stock} {
			if p.answer() == "" {
				t.Fatalf("%s is not answered", p.key)
			}
		}
		r.writeKeys("001 #*#*#")
		time.Sleep(2 * time.Second)
		for _, p := range []*peer{ours, single, stock} {
			want := proto.Removed
			if p == stock {
				want = ""
			}
			if got := p.answer(); got != want {
				t.Errorf("%s: got %q at once, want %q", p.key, got, want)
			}
			p.send("1:a:x")
			p.send(proto.Startup)
			if got := p.answer(); got != want {
				t.Errorf("%s: got %q, want %q", p.key, got, want)
			}
		}
		ours.send(proto.Removed) // as if somebody sent it back
		if got := ours.answer(); got != "" {
			t.Errorf("what comes back is answered with %q", got)
		}
		ours.ours = false // a stock program under the removed key
		for _, text := range []string{proto.Startup, keepalive("OSSEC HIDS v4.2.0", 0), "#!-x", proto.Startup} {
			ours.send(text)
			if got := ours.answer(); got != "" {
				t.Errorf("a stock program that says %q is told %q", text, got)
			}
		}
		ours.send(keepalive("ossecd v1", time.Minute))
		if got := ours.answer(); got != proto.Removed {
			t.Errorf("an ossecd's keepalive is answered with %q", got)
		}
		ours.ours = true
		ours.write(old)
		ours.use(mustKey(t, fixedLine))
		ours.send(proto.Startup)
		if got := ours.answer(); got != "" {
			t.Errorf("who repeats, or has no key, is told %q", got)
		}
		if r.texts() != "" {
			t.Errorf("a removed agent's events are taken: %s", r.texts())
		}
	})
}
