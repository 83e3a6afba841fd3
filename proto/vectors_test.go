package proto

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// vector is one datagram of a stock program (testdata/vectors/README.md).
type vector struct {
	Name, Dialect, Method, Sender string
	CipherKey                     string
	Random                        uint16
	Global, Local                 uint32
	Plaintext                     string
	Datagram                      string
}

func (v vector) bytes(t testing.TB) []byte {
	b, err := hex.DecodeString(v.Datagram)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	return b
}

func (v vector) cipher() *Cipher { return NewCipher(Key([]byte(v.CipherKey))) }

func (v vector) dialect() Dialect {
	if v.Dialect == "wazuh4" {
		return Wazuh
	}
	return OSSEC
}

func loadVectors(t testing.TB) []vector {
	text, err := os.ReadFile("../testdata/vectors/stock-datagrams.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no vectors")
	}
	return list
}

func TestOpenVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t) {
		for _, known := range []Dialect{0, OSSEC, Wazuh} {
			if known == OSSEC && v.Method == "blowfish" && len(v.Plaintext) > MaxMessageOSSEC {
				continue
			}
			f, err := ParseFrame(v.bytes(t))
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			m, err := NewOpener().Open(v.cipher(), f, known)
			if err != nil {
				t.Fatalf("%s, known %v: %v", v.Name, known, err)
			}
			if string(m.Payload) != v.Plaintext {
				t.Errorf("%s: payload %.80q, want %.80q", v.Name, m.Payload, v.Plaintext)
			}
			if m.Random != v.Random || m.Counter != (Counter{v.Global, v.Local}) || m.Method.String() != v.Method {
				t.Errorf("%s: got %d %v %v", v.Name, m.Random, m.Counter, m.Method)
			}
			if m.Method == AES && m.Dialect != v.dialect() {
				t.Errorf("%s: dialect %v, want %v", v.Name, m.Dialect, v.dialect())
			}
			if (f.ID != nil) != (v.Sender == "agent" && v.bytes(t)[0] == '!') {
				t.Errorf("%s: ID %q", v.Name, f.ID)
			}
		}
	}
}

// A datagram cut short anywhere, or with any one byte changed, is refused or says the same as the whole one.
func TestOpenDamagedVectors(t *testing.T) {
	t.Parallel()
	o := NewOpener()
	for _, v := range loadVectors(t) {
		whole := v.bytes(t)
		if len(whole) > 1000 {
			continue
		}
		c := v.cipher()
		check := func(d []byte, what string, at int) {
			f, err := ParseFrame(d)
			if err != nil {
				return
			}
			m, err := o.Open(c, f, 0)
			if err == nil && string(m.Payload) != v.Plaintext {
				t.Errorf("%s %s at %d: opened as %q", v.Name, what, at, m.Payload)
			}
		}
		for i := range whole {
			check(whole[:i], "cut", i)
			d := append([]byte(nil), whole...)
			d[i] ^= 0x41
			check(d, "changed", i)
		}
	}
}
