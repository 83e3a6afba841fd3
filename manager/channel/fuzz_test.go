package channel

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/manager/sink"
	"ossecd/proto"
)

// seedMessages are what stock agents said in the sessions, and some of what they could.
func seedMessages(f *testing.F) (list []string) {
	files, err := filepath.Glob("../../testdata/vectors/stock-session-*.txt")
	if err != nil {
		f.Fatal(err)
	}
	o := proto.NewOpener()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "client.keys: ")
		keyLine, _, _ := strings.Cut(rest, "\n")
		c := proto.NewCipher(mustKey(f, keyLine).CipherKey())
		for l := range strings.Lines(string(text)) {
			d, ok := strings.CutPrefix(strings.TrimSpace(l), "A>M ")
			if !ok {
				continue
			}
			b, err := hex.DecodeString(d)
			if err != nil {
				f.Fatal(err)
			}
			fr, err := proto.ParseFrame(b)
			if err != nil {
				f.Fatal(err)
			}
			m, err := o.Open(c, fr, 0)
			if err != nil {
				f.Fatal(err)
			}
			list = append(list, string(m.Payload))
		}
	}
	if len(list) < 20 {
		f.Fatalf("only %d messages", len(list))
	}
	return append(list, proto.Startup, `#!-agent startup {"version":"v4.14.5"}`, "1:C|:|||::x:y", "1:", "\xff:\xfe:\x00")
}

// FuzzAuthentic has an agent with the right key say anything at all. Whatever it is, the manager stays upright, every
// line it writes is whole, and it still answers another agent.
func FuzzAuthentic(f *testing.F) {
	for i, m := range seedMessages(f) {
		f.Add([]byte(m), uint8(i), uint32(i), uint16(i))
	}
	r := direct(f, anyLine, fixedLine)
	var lines sink.JSON
	var written sink.Event
	k := mustKey(f, anyLine)
	c := proto.NewCipher(k.CipherKey())
	s, err := proto.NewSealer(1)
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	f.Fuzz(func(t *testing.T, message []byte, form uint8, global uint32, local uint16) {
		e := proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: global, Local: uint32(local) % 10_000}}
		if form&1 > 0 {
			e.Method = proto.AES
		}
		if form&2 > 0 {
			e.Dialect = proto.Wazuh
		}
		if len(message) > proto.MaxMessageOSSEC {
			return
		}
		d, err := s.Seal(nil, c, &e, message)
		if err != nil {
			t.Fatal(err)
		}
		a := r.fleet.Roster().ByID("001")
		a.Slot.Reset() // any count may come
		r.receive(d, from, netip.Addr{}, time.Unix(1_795_000_000, 0))
		events := r.events.Events()
		for events.Next(&written) {
			if l := string(lines.Append(nil, &written)); !strings.HasPrefix(l, `{"timestamp":"`) || strings.Index(l, "}\n") != len(l)-2 {
				t.Fatalf("%q made the line %q", message, l)
			}
		}
		r.events.Clear()
		refused := func() (n uint64) {
			for _, why := range []reason{repeatedCount, badEvent, notAnAgents} {
				n += r.refusals.counts[why].Load()
			}
			return n
		}
		before := refused()
		r.receive(d, from, netip.Addr{}, time.Unix(1_795_000_000, 0))
		if refused() != before+1 {
			t.Fatalf("%q with count %v passed twice", message, e.Counter)
		}
	})
}

// FuzzDatagram has a stranger send anything at all, and truncations of what agents send.
func FuzzDatagram(f *testing.F) {
	seal := sealAs(f, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish})
	for _, m := range seedMessages(f) {
		d := seal(m)
		f.Add(d)
		f.Add(d[:len(d)/2])
	}
	f.Add([]byte("!001!"))
	f.Add([]byte("!../../etc/passwd!:12345678"))
	r := direct(f, fixedLine) // no key fits
	f.Fuzz(func(t *testing.T, d []byte) {
		r.receive(d, netip.MustParseAddrPort("192.0.2.7:1111"), netip.Addr{}, time.Unix(1_795_000_000, 0))
		if n := r.events.Len(); n > 0 {
			t.Fatalf("%q made %d events", d, n)
		}
	})
}
