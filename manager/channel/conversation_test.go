package channel

import (
	"net/netip"
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

// An order is said in the conversation of the newest keepalive, and in none once another program may use the key.
func TestOrdersInAConversation(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	a := r.fleet.Roster().ByID("001")
	kept := new(keeps)
	r.conn = kept
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 5}})
	held := seal(converses("FIRST"))
	for _, tt := range []struct{ says, nonce string }{
		{proto.Startup, ""}, {keepalive("ossecd v1", time.Minute), ""}, {converses("FIRST"), "FIRST"}, {converses("SECOND"), "SECOND"}, {"#!-req 1 ack", "SECOND"},
		{"1:l:event", "SECOND"}, {"held", "SECOND"}, {proto.Startup, ""}, {"held", ""}, {converses("THIRD"), "THIRD"}, {keepalive("OSSEC HIDS v4.2.0", 0), ""},
		{strings.Replace(converses("FOURTH"), "ossecd v2", "another", 1), ""},
	} {
		if tt.says == "held" {
			r.receive(held, from, netip.Addr{}, time.Now())
		} else {
			r.receive(seal(tt.says), from, netip.Addr{}, time.Now())
		}
		kept.sent = nil
		if err := a.Conversation().Send([]byte(proto.SyscheckNow)); err != nil || len(kept.sent) != 1 {
			t.Fatalf("after %q: %v", tt.says, err)
		}
		f, err := proto.ParseFrame(kept.sent[0])
		if err != nil {
			t.Fatal(err)
		}
		m, err := proto.NewOpener().Open(a.Cipher, f, proto.OSSEC)
		want := proto.SyscheckNow
		if tt.nonce != "" {
			want = string(proto.AppendNamed(nil, proto.ConversationName(tt.nonce, r.cfg.Run), []byte(want)))
		}
		if err != nil || string(m.Payload) != want {
			t.Errorf("after %q the order is %q, %v; want %q", tt.says, m.Payload, err, want)
		}
	}
}

// To an address that has shown nothing no answer is longer than what came, but for the stock acknowledgement. Real keepalives have all of theirs.
func TestNoAnswerIsLongerThanWhatCame(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	kept := new(keeps)
	r.conn = kept
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 1_800_000_000}})
	opener := proto.NewOpener()
	a := r.fleet.Roster().ByID("001")
	for _, tt := range []struct {
		says string
		want string // what the answer begins with
	}{
		{proto.Startup, proto.Ack}, {keepalive("ossecd v1", time.Minute), proto.Ack + "run="}, {"#!-x", proto.Ack},
		{"#!-a - ossecd v\n\nossecd notify-time=1ms conversation=A", proto.Ack}, {"#!-x", proto.Ack},
		{converses("4RQ2KXJ6C3O5M7W2ZTN6LHYBEA"), proto.Named}, {"#!-x", proto.Ack},
	} {
		kept.sent = nil
		d := seal(tt.says)
		r.receive(d, from, netip.Addr{}, time.Now())
		if len(kept.sent) != 1 {
			t.Fatalf("after %q %d answers", tt.says, len(kept.sent))
		}
		f, err := proto.ParseFrame(kept.sent[0])
		if err != nil {
			t.Fatal(err)
		}
		m, err := opener.Open(a.Cipher, f, proto.OSSEC)
		if err != nil || !strings.HasPrefix(string(m.Payload), tt.want) || tt.want == proto.Ack && string(m.Payload) != proto.Ack {
			t.Errorf("%q is answered with %q, %v", tt.says, m.Payload, err)
		}
		if n := len(kept.sent[0]); n > len(d) && string(m.Payload) != proto.Ack || n > len(d)+11 {
			t.Errorf("%q of %d bytes is answered with %d", tt.says, len(d), n)
		}
	}
}
