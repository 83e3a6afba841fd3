package manager

import (
	"strings"
	"testing"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// A startup that was overtaken is answered in the stock form, too: whoever sent it may compare exactly.
func TestALateStartupHasTheStockAnswer(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		late := p.seal(proto.Startup)
		p.send(keepalive("ossecd v1", time.Minute))
		if got := p.answer(); !strings.HasPrefix(got, proto.Ack+"run=") {
			t.Fatalf("an ossecd is answered with %q", got)
		}
		p.write(late)
		if got := p.answer(); got != proto.Ack {
			t.Errorf("a late startup is answered with %q", got)
		}
		p.send(keepalive("ossecd v1", time.Minute))
		if got := p.answer(); !strings.HasPrefix(got, proto.Ack+"run=") {
			t.Errorf("after a late startup an ossecd is answered with %q", got)
		}
	})
}

// What somebody on the way kept back of the program before does not make the one that started since look like it.
func TestALateKeepaliveTeachesNothing(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		late := p.seal(keepalive("ossecd v1", time.Minute))
		p.hello() // another program
		p.send(keepalive("OSSEC HIDS v4.2.0", 0))
		if got := p.answer(); got != proto.Ack {
			t.Fatalf("a stock agent is answered with %q", got)
		}
		p.write(late)
		if got := p.answer(); got != proto.Ack {
			t.Errorf("a late keepalive is answered with %q", got)
		}
		p.send("#!-x")
		if got := p.answer(); got != proto.Ack {
			t.Errorf("after a late keepalive a stock agent is answered with %q", got)
		}
	})
}

// A keepalive that only an event overtook is the newest of its kind.
func TestAKeepaliveBehindAnEventTeaches(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		k := p.seal(keepalive("ossecd v1", time.Minute))
		p.send("1:l:event")
		p.write(k)
		if got := p.answer(); !strings.HasPrefix(got, proto.Ack+"run=") {
			t.Errorf("an ossecd is answered with %q", got)
		}
	})
}

// How often one program speaks says nothing of the next: a stock agent that took the place of an ossecd, or of a stock agent with
// another notify_time, is not reported as gone between its keepalives.
func TestIntervalOfAnotherProgram(t *testing.T) {
	for _, before := range []struct {
		program string
		notify  time.Duration
	}{{"ossecd v1", time.Minute}, {"OSSEC HIDS v4.2.0", 0}} {
		for _, restarts := range []bool{false, true} {
			t.Run(before.program, func(t *testing.T) {
				inBubble(t, []string{anyLine}, func(r *rig) {
					p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
					p.hello()
					for range 3 {
						p.send(keepalive(before.program, before.notify))
						p.answer()
						time.Sleep(time.Minute)
					}
					p.hello()
					for range 3 {
						p.send(keepalive("OSSEC HIDS v4.2.0", 0))
						p.answer()
						if restarts {
							restarts = false
							r.end()
							r.start()
						}
						time.Sleep(10 * time.Minute)
					}
					if got := r.actions(); strings.Contains(got, "disconnected") {
						t.Errorf("reported: %s", got)
					}
				})
			})
		}
	}
}

// A change of the shared files is pushed to who told, since its startup, which it has; a program that knows of none is left alone.
func TestSharedFilesOfAnotherProgram(t *testing.T) {
	sharedRig(t, func(r *rig, all, _ string) {
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		p.hello()
		p.reports("")
		_, sum := p.pushed()
		p.reports(sum)
		p.hello()
		writeShared(t, all, "c.txt", "new")
		time.Sleep(3 * sharedEvery)
		if got := p.answer(); got != "" {
			t.Errorf("before its first keepalive it got %.40q", got)
		}
		p.send("#!-Linux host - another v1\n\n")
		if got := p.answer(); got != proto.Ack {
			t.Fatalf("got %.40q, want an ack", got)
		}
		writeShared(t, all, "d.txt", "new")
		time.Sleep(3 * sharedEvery)
		if got := p.answer(); got != "" {
			t.Errorf("without a word of shared files it got %.40q", got)
		}
		p.reports(sum)
		if got, _ := p.pushed(); got == nil {
			t.Error("not pushed once it told which it has")
		}
	})
}

// The counts under the next key are a row of their own: what is told with them counts, however low they are.
func TestAnotherProgramUsesTheNextKey(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, hostA, proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		p.send(keepalive("ossecd v1", time.Minute))
		if got := p.answer(); !strings.HasPrefix(got, proto.Ack+"run=") {
			t.Fatalf("an ossecd is answered with %q", got)
		}
		next := r.rotate()
		unlock, err := durable.LockFile(t.Context(), r.cfg.Keys) // so that both keys stay good
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		p.use(next)
		p.e.Counter = proto.Counter{Global: 100}
		p.hello()
		p.send(keepalive("OSSEC HIDS v4.2.0", 0))
		if got := p.answer(); got != proto.Ack {
			t.Errorf("a stock agent is answered with %q", got)
		}
	})
}
