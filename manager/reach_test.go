package manager

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
)

// bigRig is a manager in a bubble with a shared file of 2 MB for all.
func bigRig(t *testing.T, f func(r *rig)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine)
		r.cfg.Shared = t.TempDir()
		writeShared(t, r.cfg.Shared, "big", strings.Repeat("0123456789", 200_000))
		r.start()
		f(r)
		r.end()
	})
}

// offers is a keepalive of an ossecd that repeats words, with the one given, if any.
func offers(word string) string {
	return string(proto.AppendKeepalive(nil, &proto.Keepalive{
		Uname: hostUname, Program: "ossecd v1", Files: []proto.FileSum{{Name: proto.MergedName}}, NotifyTime: time.Minute, SaysWord: true, Word: word,
	}))
}

// asked takes what came until a second is silent: the word that was asked for, and the rest's count and kinds.
func (p *peer) asked() (word string, others int, up bool) {
	p.r.t.Helper()
	for text := p.answer(); text != ""; text = p.answer() {
		switch kind, rest := proto.ParseFromManager([]byte(text)); kind {
		case proto.ManagerAnyHere:
			word = string(rest)
		case proto.ManagerUpFile:
			up = true
			others++
		default:
			others++
		}
	}
	return word, others, up
}

// Two datagrams of an agent whose key is for any address bring no file to an address that nobody answered from.
func TestNoPushToAnAddressThatDoesNotAnswer(t *testing.T) {
	bigRig(t, func(r *rig) {
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		for n := range 20 {
			p.send(proto.Startup)
			p.send(offers(fmt.Sprintf("GUESS%d", n)))
			if _, others, up := p.asked(); up || others != 2 { // the acks
				t.Fatalf("the address got %d messages, beginning of a file %v", others, up)
			}
		}
	})
}

// Who repeats the word is pushed to; the word of one address says nothing of another, and a push does not follow the agent.
func TestPushToAnAddressThatAnswers(t *testing.T) {
	bigRig(t, func(r *rig) {
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		p.hello()
		p.send(offers(""))
		word, _, up := p.asked()
		if up || len(word) < 16 {
			t.Fatalf("asked for the word %q, beginning of a file %v", word, up)
		}
		home := p.conn
		p.move("198.51.100.66")
		p.send(offers(word))
		second, _, up := p.asked()
		if up || second == word {
			t.Fatalf("with the word of another address: asked for %q, beginning of a file %v", second, up)
		}
		p.send(offers(second))
		for range 20 {
			if p.answer() == "" {
				t.Fatal("no push to the address that answered")
			}
		}
		there := p.conn
		p.conn = home
		p.send("1:l:event") // answers to an ossecd follow its events
		if _, others, up := p.asked(); up || others > 0 {
			t.Errorf("the push followed to another address: %d messages", others)
		}
		p.conn = there
		p.send(offers(second))
		if _, others, up := p.asked(); !up || others < 2000 {
			t.Errorf("back where it had answered it got %d messages", others)
		}
	})
}

// A word is asked for once in a while, not at each keepalive.
func TestWordsAreAskedForSeldom(t *testing.T) {
	bigRig(t, func(r *rig) {
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		words := 0
		for range 20 {
			p.send(proto.Startup)
			p.send(offers(""))
			if word, _, _ := p.asked(); word != "" {
				words++
			}
		}
		if words == 0 || words > 2 {
			t.Errorf("in 20 s %d words were asked for", words)
		}
	})
}

// Stock agents have nothing to prove an address by: they get files, and whoever plays one without end gets a bounded number of bytes. Where
// the keys file names the one address there is no such bound.
func TestPushesToStockAgentsHaveABudget(t *testing.T) {
	bigRig(t, func(r *rig) {
		count := func(p *peer) (messages int) {
			for range 10 {
				p.send(proto.Startup)
				p.send(keepalive("OSSEC HIDS v4.2.0", 0))
				_, others, _ := p.asked()
				messages += others - 2
			}
			return messages
		}
		anywhere := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		if n := count(anywhere); n < 2000 || n > 2300 {
			t.Errorf("for 20 datagrams %d came back to an address of its choice", n)
		}
		if n := strings.Count(r.logs.String(), "shared files wait"); n != 1 {
			t.Errorf("told %d times that they wait", n)
		}
		if n := count(r.dial(fixedLine, "192.0.2.7", proto.Blowfish, proto.OSSEC, 100)); n < 20_000 {
			t.Errorf("for 20 datagrams %d came back to the address of its key", n)
		}
		time.Sleep(40 * time.Minute)
		anywhere.hello()
		anywhere.send(keepalive("OSSEC HIDS v4.2.0", 0))
		if _, others, _ := anywhere.asked(); others < 2000 {
			t.Errorf("later it got %d messages", others)
		}
	})
}
