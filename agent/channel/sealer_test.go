package channel

import (
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// A startup bears the mark by which a manager of ours tells who starts. And the shortest keepalive is longer than the longest answer that a manager of
// ours has for it: to an address that has shown nothing no larger one goes.
func TestAnswersAreShorterThanKeepalives(t *testing.T) {
	t.Parallel()
	key, err := keys.ParseLine("001 aa any acf4f37c38fc7b6aa1983fa403a43a83725a2967a61c602")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := keys.OpenSender(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	for _, method := range []proto.Method{proto.Blowfish, proto.AES} {
		cfg := Config{Key: key, Method: method, Dialect: proto.OSSEC, NotifyTime: time.Minute, About: About{Version: "1", Sums: func() (string, string) { return "", "" }}}
		sealed, err := newSealer(&cfg, sender)
		if err != nil {
			t.Fatal(err)
		}
		d, err := sealed.seal(nil, []byte(proto.Startup))
		if err != nil {
			t.Fatal(err)
		}
		f, err := proto.ParseFrame(d)
		if err != nil {
			t.Fatal(err)
		}
		m, err := proto.NewOpener().Open(sealed.cipher, f, proto.OSSEC)
		if err != nil || m.Random != sealed.cipher.StartupRandom(m.Counter) {
			t.Errorf("%v: the startup has no mark, %v", method, err)
		}
		answers, err := proto.NewSealer(1)
		if err != nil {
			t.Fatal(err)
		}
		least := 1 << 10
		for range 200 {
			c := &Conversation{ch: &Channel{cfg: cfg}, text: keepaliveText{nonce: newTalk().nonce}}
			text := proto.AppendKeepalive(nil, &proto.Keepalive{
				Uname: "Linux a 6.1 #1 x86_64", Program: "ossecd 1", Files: []proto.FileSum{{Name: proto.MergedName}},
				NotifyTime: cfg.NotifyTime, SaysWord: true, Nonce: c.text.nonce,
			})
			if real := c.keepaliveNow(); len(real) < len(text) {
				t.Fatalf("%q is shorter than the shortest, %q", real, text)
			}
			if d, err = sealed.seal(d[:0], text); err != nil {
				t.Fatal(err)
			}
			most := proto.Counter{Global: 3987654321, Local: 9876}
			run := proto.Run{Name: "4RQ2KXJ6C3O5M7W2ZTN6LHYBEA", Last: most, First: proto.Counter{Global: 4123456789, Local: 8765}, Of: proto.Counter{Global: 4023456178, Local: 7654}}
			ack := proto.AppendNamed(nil, proto.ConversationName(c.text.nonce, run.Name), proto.AppendAck(nil, &run))
			word := proto.AppendNamed(nil, proto.ConversationName(c.text.nonce, run.Name), []byte(proto.AnyHere+newTalk().nonce))
			for _, answer := range [][]byte{ack, word} {
				a, err := answers.Seal(nil, sealed.cipher, &proto.Envelope{Method: method, Counter: most, Random: 65535}, answer)
				if err != nil {
					t.Fatal(err)
				}
				if least = min(least, len(d)-len(a)); len(a) > len(d) {
					t.Fatalf("%v: a keepalive of %d bytes, an answer of %d: %q", method, len(d), len(a), answer)
				}
			}
		}
		t.Logf("%v: %d bytes to spare", method, least)
	}
}
