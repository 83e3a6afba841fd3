package channel

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"ossecd/agent/conversation"
	"ossecd/proto"
)

// What the agent sent opens under its own key, too. Sent back it is nothing, and its count does not make the manager's look
// old.
func TestOwnMessagesSentBack(t *testing.T) {
	t.Parallel()
	s, _ := begun(t, Config{}, false, newDeaf(func() {}))
	sealer, err := proto.NewSealer(1)
	if err != nil {
		t.Fatal(err)
	}
	open := func(global uint32, message string) bool {
		d, err := sealer.Seal(nil, s.ch.sealer.cipher, &proto.Envelope{Method: s.ch.cfg.Method, Counter: proto.Counter{Global: global, Local: 1}}, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		_, ok := s.recv.open(d)
		return ok
	}
	for i, message := range []string{proto.Startup, proto.Startup + `{"version":"v4.9.0"}`, proto.Shutdown, "1:ossec:ossec: Agent started: 'a->any'.",
		"#!-Linux web01 6.1 - ossecd v1 / ab\n0 merged.mg\n", "1:/var/log/test:line"} {
		if open(2_000_000_000+uint32(i), message) {
			t.Errorf("%q was taken", message)
		}
	}
	for i, message := range []string{proto.Ack, "#!-err something new", "#!-up file 9e107d9d372bb6826bd81d3542a419d6 merged.mg\n", "1:a:what a file can hold", proto.CloseFile} {
		if !open(5+uint32(i), message) {
			t.Errorf("%q was not taken", message)
		}
	}
	if open(20, "more of a file that has ended") {
		t.Error("a piece of no file was taken")
	}
}

// What a manager says with our key is handed on as it was said, unless only agents say such. The messages of one input are separated by a line
// "--"; one that begins with "@A@" is said in the conversation with a run A. From the first such acknowledgement on, others are refused.
func FuzzReceive(f *testing.F) {
	for _, v := range []string{
		proto.Ack, proto.ForceReconnect + "\n--\n" + proto.Ack, proto.SyscheckNow, proto.AnyHere, proto.AnyHere + "A1b", "#!-execd artest10 - 10.9.8.7 (from_the_server) (no_rule_id)",
		"#!-some unknown control", "#!-req 1f agent getconfig client", "#!-err {}", "", "\n--\n", "#!-",
		"#!-up file 9e107d9d372bb6826bd81d3542a419d6 merged.mg\n\n--\nThe quick brown fox jumps over the lazy dog\n--\n#!-close file ",
		"#!-up file 7fc56270e7a70fa81a5935b72eacbe29 ../x\n\n--\nA\n--\n#!-close file ",
		"#!-up file 9d5ed678fe57bcca610140957afab571 one.txt\n\n--\nB\n--\n#!-close file ",
		"@A@#!-agent ack run=A last=0:0 first=0:0 of=1:1\n--\n@A@#!-syscheck restart\n--\n#!-agent ack \n--\n@B@#!-agent ack run=B last=0:0 first=0:0\n--\n@A@#!-force_reconnect",
		"@A@#!-agent ack run=A last=0:0 first=0:0\n--\n@A@#!-up file 9d5ed678fe57bcca610140957afab571 one.txt\n\n--\n@A@B\n--\n@A@#!-close file \n--\nB",
		"@A@#!-agent ack \n--\n@A@#!-ossecd in A x\n--\n@@x\n--\n#!-ossecd in A x",
	} {
		f.Add([]byte(v), false)
		f.Add([]byte(v), true)
	}
	var both [2]*Conversation
	for i, d := range []proto.Dialect{proto.OSSEC, proto.Wazuh} {
		both[i], _ = begun(f, Config{Dialect: d}, false, newDeaf(func() {}))
	}
	sealer, err := proto.NewSealer(1)
	if err != nil {
		f.Fatal(err)
	}
	count := proto.Counter{Global: uint32(time.Now().Unix())}
	f.Fuzz(func(t *testing.T, in []byte, wazuh bool) {
		c := both[0]
		if wazuh {
			c = both[1]
		}
		c.recv.talk = newTalk()
		for message := range bytes.SplitSeq(in, []byte("\n--\n")) {
			count = count.Next()
			var run, inner []byte
			if parts := bytes.SplitN(message, []byte("@"), 3); len(parts) == 3 && len(parts[0]) == 0 {
				run, inner = parts[1], parts[2]
				message = proto.AppendNamed(nil, proto.ConversationName(c.recv.talk.nonce, string(run)), inner)
			}
			d, err := sealer.Seal(nil, c.ch.sealer.cipher, &proto.Envelope{Method: c.ch.cfg.Method, Dialect: c.ch.cfg.Dialect, Counter: count}, message)
			if err != nil {
				continue // too long
			}
			pushing, before := c.recv.pushing, c.recv.talk.name
			got, ok := c.recv.open(d)
			kind, _ := proto.ParseFromManager(message)
			switch {
			case !ok && before != "" || ok && got.Sign != conversation.Said:
				continue
			case ok && kind == proto.ManagerNamed:
				if name := proto.ConversationName(c.recv.talk.nonce, string(run)); inner == nil || got.Kind != proto.ManagerAck && name != before || c.recv.talk.name == "" {
					t.Fatalf("%q was taken in the conversation %q", message, before)
				}
				message = inner
			case before != "":
				t.Fatalf("%q was taken, which bears no name", message)
			}
			if !ok && (proto.OnlyAgentsSay(message) || kind == proto.ManagerChunk && !pushing || kind == proto.ManagerNamed) {
				continue
			}
			if !ok || !bytes.Equal(got.Text, message) {
				t.Fatalf("%q was not taken", message)
			}
			c.Hear(time.Now(), got)
		}
	})
}

// Whatever arrives, nothing is taken but what the key sealed.
func FuzzAgentDatagram(f *testing.F) {
	text, err := os.ReadFile("../../testdata/vectors/stock-session-aes-any-start.txt")
	if err != nil {
		f.Fatal(err)
	}
	var fromAgent []bool
	var session [][]byte
	for line := range strings.Lines(string(text)) {
		if data, ok := strings.CutPrefix(line[1:], ">"); ok {
			b, err := hex.DecodeString(strings.TrimSpace(data[2:]))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			fromAgent, session = append(fromAgent, line[0] == 'A'), append(session, b)
		}
	}
	s, _ := begun(f, Config{Method: proto.AES}, false, newDeaf(func() {}))
	known := map[string]bool{} // what the manager says; of what the agent said itself, nothing is taken
	for i, d := range session {
		if in, ok := s.recv.open(d); ok {
			if fromAgent[i] {
				f.Errorf("taken of what the agent sent: %q", in.Text)
			}
			known[string(in.Text)] = true
		}
		if end := bytes.LastIndexByte(d[:min(len(d), 10)], '!'); d[0] == '!' && end > 0 {
			f.Add(d[end+1:]) // as somebody would send it back
		}
	}
	if len(known) == 0 {
		f.Fatal("the session has nothing of a manager")
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		if got, ok := s.recv.open(d); ok && !known[string(got.Text)] {
			t.Errorf("%x was taken as %q", d, got.Text)
		}
	})
}
