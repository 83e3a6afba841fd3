package keys

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ossecd/proto"
)

func TestParseRids(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want proto.Counter
		ok   bool
		bad  bool
	}{
		{text: ""},
		{text: "\n"},
		{text: "0:0:"},
		{text: "1700000000:12:", want: proto.Counter{Global: 1_700_000_000, Local: 12}, ok: true},
		{text: "1700000000:0012:", want: proto.Counter{Global: 1_700_000_000, Local: 12}, ok: true},
		{text: "12:1:0:9997:", want: proto.Counter{Global: 12, Local: 1}, ok: true}, // over an older, longer text
		{text: "12:1:\n\x00\x00", want: proto.Counter{Global: 12, Local: 1}, ok: true},
		{text: "4294967295:9999:", want: proto.Counter{Global: math.MaxUint32, Local: 9999}, ok: true},
		{text: "0:1:", want: proto.Counter{Local: 1}, ok: true},
		{text: "4294967296:1:", bad: true},
		{text: "1:10000:", bad: true},
		{text: "-1:1:", bad: true},
		{text: "+1:1:", bad: true},
		{text: " 1:1:", bad: true},
		{text: "1:1", bad: true},
		{text: "1", bad: true},
		{text: "::", bad: true},
		{text: "1::", bad: true},
		{text: "1_0:1:", bad: true},
		{text: "1:1:x", bad: true},
		{text: "\x00\x00\x00\x00", bad: true},
		{text: strings.Repeat("9", 64), bad: true},
	}
	for _, tt := range tests {
		got, ok, err := ParseRids([]byte(tt.text))
		if got != tt.want || ok != tt.ok || (err != nil) != tt.bad {
			t.Errorf("ParseRids(%q) = %v, %v, %v; want %v, %v, error %v", tt.text, got, ok, err, tt.want, tt.ok, tt.bad)
		}
	}
}

func FuzzParseRids(f *testing.F) {
	for _, seed := range []string{"", "1700000000:12:", "1700000000:12:97:", "0:0:", "4294967295:9999:", "1:1", "\x00:"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, ok, err := ParseRids(text)
		if ok != (c != proto.Counter{}) || (ok && err != nil) {
			t.Fatalf("ParseRids(%q) = %v, %v, %v", text, c, ok, err)
		}
		again, okAgain, err := ParseRids(AppendRids(nil, c))
		if again != c || okAgain != ok || err != nil {
			t.Fatalf("%v does not survive writing and reading: %v, %v, %v", c, again, okAgain, err)
		}
	})
}

func TestRidsFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rids")
	read := func(want proto.Counter, wantOK bool) {
		t.Helper()
		if got, ok, err := ReadRids(dir, "001"); got != want || ok != wantOK || err != nil {
			t.Errorf("ReadRids = %v, %v, %v; want %v, %v", got, ok, err, want, wantOK)
		}
	}
	read(proto.Counter{}, false)
	for _, c := range []proto.Counter{{Global: 1_700_000_000, Local: 9997}, {Global: 7, Local: 3}, {}, {Global: 8, Local: 1}} {
		if err := WriteRids(dir, "001", c); err != nil {
			t.Fatal(err)
		}
		read(c, c != proto.Counter{})
	}
	if got, err := os.ReadFile(filepath.Join(dir, "001")); string(got) != "8:1:" || err != nil {
		t.Errorf("file has %q, %v; want %q", got, err, "8:1:")
	}
}

func TestRidsRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, "5:5:")
	write(filepath.Join(dir, "002"), "garbage")
	if err := os.Mkdir(filepath.Join(dir, "003"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "../outside", "1/2", ".", "123456789", "0x1", "sender_counter", "1\x00"} {
		if _, _, err := ReadRids(dir, id); err == nil {
			t.Errorf("ReadRids(%q) took an ID that is none", id)
		}
		if err := WriteRids(dir, id, proto.Counter{Global: 1}); err == nil {
			t.Errorf("WriteRids(%q) took an ID that is none", id)
		}
	}
	for _, id := range []string{"002", "003"} {
		_, ok, err := ReadRids(dir, id)
		if ok || !errors.Is(err, errRids) || !strings.Contains(err.Error(), filepath.Join(dir, id)) {
			t.Errorf("ReadRids(%q) = %v, %v; want an error that names the file", id, ok, err)
		}
	}
	if err := WriteRids(dir, "003", proto.Counter{Global: 1}); err == nil {
		t.Error("WriteRids wrote to a directory")
	}
	if err := os.Symlink(outside, filepath.Join(dir, "004")); err != nil {
		t.Logf("no symbolic links here: %v", err)
		return
	}
	if _, _, err := ReadRids(dir, "004"); err == nil {
		t.Error("ReadRids followed a link")
	}
	if err := WriteRids(dir, "004", proto.Counter{Global: 1}); err == nil {
		t.Error("WriteRids followed a link out of the directory")
	}
}

// BenchmarkReadRids: what a start with stock counters pays for each agent.
func BenchmarkReadRids(b *testing.B) {
	b.ReportAllocs()
	dir := b.TempDir()
	if err := WriteRids(dir, "001", proto.Counter{Global: 1_700_000_000, Local: 12}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok, err := ReadRids(dir, "001"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
