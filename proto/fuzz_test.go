package proto

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are real datagrams: those of the vectors, and all of the stock sessions.
func seeds(f *testing.F) [][]byte {
	var all [][]byte
	for _, v := range loadVectors(f) {
		if b := v.bytes(f); len(b) < 2000 {
			all = append(all, b)
		}
	}
	files, err := filepath.Glob("../testdata/vectors/stock-session-*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if _, h, ok := strings.Cut(strings.TrimSpace(line), " "); ok && line[0] != '#' {
				b, err := hex.DecodeString(h)
				if err != nil {
					f.Fatalf("%s: %v", name, err)
				}
				all = append(all, b)
			}
		}
	}
	if len(all) < 50 {
		f.Fatalf("only %d seeds", len(all))
	}
	return all
}

// FuzzFrame reads foreign bytes as a datagram.
func FuzzFrame(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	c, o := NewCipher(testKey()), NewOpener()
	f.Fuzz(func(t *testing.T, d []byte) {
		fr, err := ParseFrame(d)
		if err != nil {
			return
		}
		if len(fr.ID) > MaxIDLen || len(fr.Body) == 0 || !bytes.HasSuffix(d, fr.Body) {
			t.Fatalf("frame %q %d bytes of %q", fr.ID, len(fr.Body), d)
		}
		if m, err := o.Open(c, fr, 0); err == nil && len(m.Payload) > maxBodyWazuh {
			t.Fatalf("payload of %d bytes", len(m.Payload))
		}
	})
}

// FuzzPlain encrypts foreign bytes with the right key, so that everything behind the cipher sees them.
func FuzzPlain(f *testing.F) {
	good := deflate(f, sumBody("000050000000007:0042:hello"), 9)
	f.Add(append([]byte("!!!"), good...), uint8(0))
	f.Add(append([]byte("!"), append(good, 0, 0, 0)...), uint8(3))
	f.Add([]byte("!!!!!!!!x\x9c"), uint8(5))
	for _, v := range loadVectors(f) {
		fr, err := ParseFrame(v.bytes(f))
		if err != nil || len(fr.Body) > 2000 {
			continue
		}
		plain := make([]byte, len(fr.Body))
		if fr.Method == Blowfish {
			v.cipher().decryptBlowfish(plain, fr.Body)
		} else {
			v.cipher().decryptAES(plain, fr.Body, wazuhIV)
		}
		f.Add(plain, uint8(v.dialect()))
	}
	c, o := NewCipher(testKey()), NewOpener()
	f.Fuzz(func(t *testing.T, plain []byte, form uint8) {
		e := forms[int(form)%len(forms)]
		fr, err := ParseFrame(encryptForm(c, e, bytes.Clone(plain)))
		if err != nil {
			return
		}
		m, err := o.Open(c, fr, e.Dialect)
		if err != nil {
			return
		}
		if len(m.Payload) > maxBody(m.Dialect) || m.Counter.Local > 9999 {
			t.Fatalf("opened as %v, %d bytes", m.Counter, len(m.Payload))
		}
	})
}

// FuzzMessage seals a foreign message, opens it, and reads it as everything that it could be.
func FuzzMessage(f *testing.F) {
	for _, v := range loadVectors(f) {
		if len(v.Plaintext) < 2000 {
			f.Add([]byte(v.Plaintext), uint8(0))
		}
	}
	for _, s := range []string{
		Startup, Shutdown, Ack, SyscheckNow, ForceReconnect, CloseFile, stockKeepalive, wazuhKeepalive,
		"#!-up file 3a7519226d874b316b98ef4952dffbd8 merged.mg\n", "#!-execd artest10 - 10.9.8.7 (from_the_server)",
		Named + "A1 " + Ack + "run=A last=1:2 first=3:4 of=5:6", Named + "A1 ", "#!-a - b\n\nossecd notify-time=1ms conversation=A1",
		"1:/var/log/syslog:text", "1:C|:|||::x:y", "1:loc", "1:", "",
	} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(5))
	}
	c, o := NewCipher(testKey()), NewOpener()
	s := mustSealer(f, 1)
	f.Fuzz(func(t *testing.T, message []byte, form uint8) {
		e := forms[int(form)%len(forms)]
		e.Counter = Counter{7, 42}
		d, err := s.Seal(nil, c, &e, message)
		if err != nil {
			if len(message) <= MaxMessageOSSEC {
				t.Fatal(err)
			}
			return
		}
		fr, err := ParseFrame(d)
		if err != nil {
			t.Fatal(err)
		}
		m, err := o.Open(c, fr, e.Dialect)
		if err != nil || !bytes.Equal(m.Payload, message) || m.Counter != e.Counter {
			t.Fatalf("%q came back as %q, %v", message, m.Payload, err)
		}
		if IsControl(m.Payload) {
			if kind, rest := ParseFromAgent(m.Payload); kind == AgentKeepalive {
				k, err := ParseKeepalive(rest)
				if err != nil || len(k.Files) > maxKeepaliveLines {
					t.Fatalf("%q: %d files, %v", rest, len(k.Files), err)
				}
				for _, file := range k.Files {
					if !BaseName(file.Name) || strings.ContainsAny(file.Name, "/\\") {
						t.Fatalf("file name %q", file.Name)
					}
				}
			}
		}
		if kind, rest := ParseFromManager(m.Payload); kind == ManagerUpFile {
			if sum, name, err := ParseUpFile(rest); err == nil && (len(sum) != 32 || len(name) > maxFileName) {
				t.Fatalf("%q %q", sum, name)
			}
		}
		if kind, rest := ParseFromManager(m.Payload); kind == ManagerNamed {
			name, inner, ok := ParseNamed(rest)
			if !ok || !bytes.Equal(AppendNamed(nil, name, inner), m.Payload) || OnlyAgentsSay(m.Payload) {
				t.Fatalf("%q is %q and %q, %t", m.Payload, name, inner, ok)
			}
		} else if kind == ManagerAck {
			if run, ok := ParseRun(rest); ok {
				if again, ok := ParseRun(AppendAck(nil, &run)[len(Ack):]); !ok || again != run {
					t.Fatalf("%q came back as %+v", m.Payload, again)
				}
			}
		}
		whole := bytes.Clone(m.Payload)
		if ev, err := ParseEvent(m.Payload, OSSEC); err == nil {
			again := AppendEvent(nil, ev.Queue, string(ev.Location), ev.Message, OSSEC)
			if !bytes.Equal(again, whole) {
				t.Fatalf("%q came back as %q", whole, again)
			}
		}
		if ev, err := ParseEvent(m.Payload, Wazuh); err == nil {
			again, err := ParseEvent(AppendEvent(nil, ev.Queue, string(ev.Location), ev.Message, Wazuh), Wazuh)
			if err != nil || !bytes.Equal(again.Location, ev.Location) || !bytes.Equal(again.Message, ev.Message) {
				t.Fatalf("%q came back as %q", ev, again)
			}
		}
	})
}
