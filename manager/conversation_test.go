package manager

import (
	"strings"
	"testing"
	"time"

	"ossecd/proto"
)

// converses is a keepalive of an ossecd that offers a conversation.
func converses(nonce string) string {
	return string(proto.AppendKeepalive(nil, &proto.Keepalive{
		Uname: hostUname, Program: "ossecd v2", Files: []proto.FileSum{{Name: proto.MergedName}}, NotifyTime: time.Minute,
		TakesKey: true, SaysWord: true, Nonce: nonce,
	}))
}

// said is the manager's next message within the conversation that begins with the nonce; the test fails where it is none of it.
func (p *peer) said(nonce string) string {
	p.r.t.Helper()
	text := p.answer()
	kind, rest := proto.ParseFromManager([]byte(text))
	name, message, _ := proto.ParseNamed(rest)
	if kind != proto.ManagerNamed || name != proto.ConversationName(nonce, p.r.runName) {
		p.r.t.Errorf("%q is not said in the conversation", text)
	}
	return string(message)
}

// An agent that offers a conversation is answered in it: each answer names the run and the message that it is for.
func TestConversation(t *testing.T) {
	inBubble(t, []string{anyLine}, func(r *rig) {
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 5000)
		p.hello()
		p.send(keepalive("ossecd v1", time.Minute)) // one that offers none has the form of before
		run, ok := proto.ParseRun([]byte(strings.TrimPrefix(p.answer(), proto.Ack)))
		if !ok || run.Of != (proto.Counter{}) {
			t.Fatalf("without an offer: %+v, %t", run, ok)
		}
		r.runName = run.Name
		for range 3 {
			p.send(converses("NONCE"))
			got, ok := proto.ParseRun([]byte(strings.TrimPrefix(p.said("NONCE"), proto.Ack)))
			if !ok || got.Name != run.Name || got.Of != p.e.Counter {
				t.Errorf("%+v, %t; want the run %s, of %v", got, ok, run.Name, p.e.Counter)
			}
		}
		late := p.seal(proto.Startup)
		first := p.seal(converses("OTHER"))
		p.send(converses("THIRD"))
		p.said("THIRD")
		p.write(late)
		if got := p.answer(); got != proto.Ack {
			t.Errorf("a late startup is answered with %q", got)
		}
		p.write(first)
		if got, ok := proto.ParseRun([]byte(strings.TrimPrefix(p.said("THIRD"), proto.Ack))); !ok || got.Of.Value() >= p.e.Counter.Value() {
			t.Errorf("a late keepalive is answered with %+v, %t", got, ok)
		}
		p.hello() // another program may use the key
		p.send(keepalive("OSSEC HIDS v4.2.0", 0))
		if got := p.answer(); got != proto.Ack {
			t.Errorf("a stock agent is answered with %q", got)
		}
	})
}

// After a start of the manager an agent that takes part in a conversation would refuse an order that does not name it. So an event does not show
// where orders reach it, as with stock agents; its next keepalive does.
func TestOrderAfterAStart(t *testing.T) {
	t.Parallel()
	const body = `{"agents":["001"],"action":"syscheck-restart"}`
	for _, again := range []bool{false, true} { // whether another program has the key meanwhile
		r := onSockets(t, "", anyLine)
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		p.hello()
		p.send(converses("NONCE"))
		p.answer()
		if again {
			p.hello()
		}
		r.end()
		r.start()
		p.send("1:/var/log/auth.log:x")
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(r.out.String(), "auth.log") && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if _, got := r.request("POST", "/v1/orders", body); strings.Contains(got, `"reachable":true`) != again {
			t.Errorf("another program: %t: %s", again, got)
		}
		if again {
			p.answer()
		} else {
			p.send(converses("NONCE"))
			p.answer()
			_, told := r.request("POST", "/v1/orders", body)
			if got := p.answer(); !strings.HasPrefix(got, proto.Named) || !strings.HasSuffix(got, proto.SyscheckNow) {
				t.Errorf("got %q: %s", got, told)
			}
		}
		r.end()
	}
}

// What is pushed is said in the conversation, too, and so are a new key and that the agent was removed.
func TestAllIsSaidInTheConversation(t *testing.T) {
	sharedRig(t, func(r *rig, all, _ string) {
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		p.hello()
		p.send(keepalive("ossecd v1", time.Minute))
		run, _ := proto.ParseRun([]byte(strings.TrimPrefix(p.answer(), proto.Ack)))
		r.runName = run.Name
		p.send(converses("NONCE"))
		word := ""
		for range 3 {
			text := p.said("NONCE")
			if w, ok := strings.CutPrefix(text, proto.AnyHere); ok {
				word = w
				break
			}
		}
		p.send(strings.Replace(converses("NONCE"), " says-word", " says-word="+word, 1))
		var kinds []proto.FromManager
		for {
			kind, _ := proto.ParseFromManager([]byte(p.said("NONCE")))
			kinds = append(kinds, kind)
			if kind == proto.ManagerCloseFile || len(kinds) > 99 {
				break
			}
		}
		if n := len(kinds); n < 4 || kinds[1] != proto.ManagerUpFile || kinds[2] != proto.ManagerChunk {
			t.Errorf("pushed %v", kinds)
		}
		next := r.rotate()
		time.Sleep(4 * time.Second)
		p.send(converses("NONCE"))
		p.said("NONCE")
		if got := p.said("NONCE"); got != proto.NewKey+next.Line() {
			t.Errorf("instead of a key: %q", got)
		}
		p.use(next)
		p.send(converses("NONCE"))
		p.said("NONCE")
		time.Sleep(4 * time.Second)
		p.send(converses("NONCE")) // the agent that has the new key goes on with the conversation
		p.said("NONCE")
		r.writeKeys("001 #*#*#")
		time.Sleep(2 * time.Second)
		got := p.said("NONCE")
		if strings.HasPrefix(got, proto.AnyHere) { // of the push before
			got = p.said("NONCE")
		}
		if got != proto.Removed {
			t.Errorf("removed: %q", got)
		}
		p.send(converses("ANOTHER"))
		if got := p.said("ANOTHER"); got != proto.Removed {
			t.Errorf("removed: %q", got)
		}
		p.ours = true
		p.send(proto.Startup)
		if got := p.answer(); got != proto.Removed {
			t.Errorf("removed, and started anew: %q", got)
		}
	})
}
