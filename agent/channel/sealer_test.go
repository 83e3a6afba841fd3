package channel

import (
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// testSealer seals as an agent of a key that has no address.
func testSealer(t *testing.T, method proto.Method, dialect proto.Dialect) (*sealer, Config) {
	key, err := keys.ParseLine("001 aa any acf4f37c38fc7b6aa1983fa403a43a83725a2967a61c602")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := keys.OpenSender(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sender.Close() })
	cfg := Config{Key: key, Method: method, Dialect: dialect, NotifyTime: time.Second, About: About{Version: "1", Sums: func() (string, string) { return "", "" }}}
	s, err := newSealer(&cfg, sender)
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg
}

// A startup bears the mark by which a manager of ours tells who starts.
func TestStartupIsMarked(t *testing.T) {
	t.Parallel()
	for _, method := range []proto.Method{proto.Blowfish, proto.AES} {
		sealed, _ := testSealer(t, method, proto.OSSEC)
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
	}
}

// The shortest control message is no shorter than the longest answer that a manager of ours has for it: to an address that has shown nothing no larger
// one goes. An agent does not compress control messages, so their length decides, and compression makes no answer longer.
func TestAnswersAreShorterThanKeepalives(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method  proto.Method
		dialect proto.Dialect
	}{{proto.Blowfish, proto.OSSEC}, {proto.AES, proto.OSSEC}, {proto.Blowfish, proto.Wazuh}, {proto.AES, proto.Wazuh}} {
		sealed, cfg := testSealer(t, tt.method, tt.dialect)
		// size is how long the datagram of a message is.
		size := func(text string, stored bool) int {
			s, err := proto.NewSealer(1)
			if err != nil {
				t.Fatal(err)
			}
			d, err := s.Seal(nil, sealed.cipher, &proto.Envelope{Method: tt.method, Dialect: tt.dialect, Stored: stored}, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			return len(d)
		}
		c := &Conversation{ch: &Channel{cfg: cfg}, text: keepaliveText{nonce: newTalk().nonce}, conn: new(deaf)}
		text := string(proto.AppendKeepalive(nil, &proto.Keepalive{
			Uname: "a b c d e", Program: "ossecd 1", Files: []proto.FileSum{{Name: proto.MergedName}},
			NotifyTime: cfg.NotifyTime, SaysWord: true, Nonce: c.text.nonce,
		}))
		if real := c.keepaliveNow(); len(real) < len(text) {
			t.Fatalf("%q is shorter than the shortest, %q", real, text)
		}
		word := newTalk().nonce[:26]
		most := proto.Counter{Global: 4_294_967_295, Local: 9_999}
		run := proto.Run{Name: word + "x9999", Last: most, First: most, Of: most}
		name := proto.ConversationName(c.text.nonce, run.Name)
		ack := string(proto.AppendNamed(nil, name, proto.AppendAck(nil, &run)))
		here := string(proto.AppendNamed(nil, name, []byte(proto.AnyHere+word)))
		for _, of := range []struct{ text, answer string }{{text, ack}, {text, here}, {proto.Startup, proto.Ack}, {("#!-" + strings.Repeat("a", 400))[:len(text)], ack}} {
			d, err := sealed.seal(nil, []byte(of.text))
			if err != nil {
				t.Fatal(err)
			}
			if n := size(of.answer, true); len(d) < n {
				t.Errorf("%v: %q has %d bytes, its answer up to %d: %q", tt, of.text, len(d), n, of.answer)
			}
		}
		// What the answer is sealed with compresses nothing into more than that.
		for n := range 300 {
			text := strings.Repeat(word, 12)[:n]
			if got, want := size(text, false), size(text, true); got > want {
				t.Errorf("%v: %d bytes become %d, and %d without compression", tt, n, got, want)
			}
		}
	}
}
