package shared

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"ossecd/proto"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     string // NAME=CONTENT of the parts
		refused  string
		err      error
	}{
		{name: "empty"},
		{name: "group alone", in: "#default\n"},
		{name: "one", in: "!3 a\nxyz", want: "a=xyz"},
		{name: "lines of Windows", in: "#g\r\n!5 a\r\nx\r\ny\n!0 b\r\n", want: "a=x\r\ny\n b="},
		{name: "two and a group", in: "#g\n!3 a\nxyz!0 b\n", want: "a=xyz b="},
		{name: "line ends and marks in the content", in: "!6 a\n!1 b\nx!1 c\ny", want: "a=!1 b\nx c=y"},
		{name: "unsafe names", in: "!1 ../a\nx!1 /a\nx!1 a/b\nx!1 a\\b\nx!1 .a\nx!1 merged.mg\nx!1 MERGED.MG\nx!1 a\x1b\nx!1 CON.txt\nx!1 a.\nx!1 b\ny",
			want: "b=y", refused: "../a /a a/b a\\b .a merged.mg MERGED.MG a\x1b CON.txt a."},
		{name: "twice", in: "!1 a\nx!1 A\ny", want: "a=x", refused: "A"},
		{name: "empty name", in: "!1 \nx", refused: ""},
		{name: "no merged file", in: "3 a\nxyz", err: proto.ErrMerged},
	}
	for _, tt := range tests {
		parts, refused, err := split([]byte(tt.in))
		var got []string
		for _, p := range parts {
			got = append(got, p.Name+"="+string(p.Content))
		}
		if !errors.Is(err, tt.err) || strings.Join(got, " ") != tt.want || strings.Join(refused, " ") != tt.refused {
			t.Errorf("%s: got %q, refused %q, %v; want %q, %q, %v", tt.name, got, refused, err, tt.want, tt.refused, tt.err)
		}
	}
}

func FuzzSplitMerged(f *testing.F) {
	for _, s := range []string{
		"#default\n!19 agent.conf\n<agent_config></ac>!5 rootkit_files.txt\nabc\nd", "!1 ../a\nx", "!3 a\nxy", "#", "!0 a\n!0 b\n", "!4294967296 a\nx",
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		parts, refused, err := split(in)
		if err != nil && parts != nil {
			t.Error("parts beside an error")
		}
		if len(parts)+len(refused) > proto.MaxMergedFiles {
			t.Errorf("%d parts", len(parts)+len(refused))
		}
		total := 0
		for _, p := range parts {
			total += len(p.Content)
			if !Allowed(p.Name) || filepath.Dir(filepath.Join(dir, p.Name)) != dir {
				t.Errorf("the name %q came through", p.Name)
			}
		}
		if total > len(in) {
			t.Errorf("%d bytes out of %d", total, len(in))
		}
	})
}

func TestPush(t *testing.T) {
	t.Parallel()
	data := []byte("hello, shared file")
	half := len(data) / 2
	tests := []struct {
		name string
		do   func(p *Push)
		want error
	}{
		{"whole", func(p *Push) { p.Begin(sum(data), "a"); p.Chunk(data[:half]); p.Chunk(data[half:]) }, nil},
		{"begun twice", func(p *Push) { p.Begin(sum(nil), "b"); p.Chunk(data); p.Begin(sum(data), "a"); p.Chunk(data) }, nil},
		{"lost", func(p *Push) { p.Begin(sum(data), "a"); p.Chunk(data[half:]) }, ErrSum},
		{"spoilt", func(p *Push) { p.Begin(sum(data), "a"); p.Chunk(data); p.Spoil() }, ErrSum},
		{"odd name", func(p *Push) { p.Begin(sum(data), "../a"); p.Chunk(data) }, ErrName},
		{"not begun", func(p *Push) { p.Chunk(data); p.Spoil() }, ErrNone},
		{"too large", func(p *Push) {
			p.Begin(sum(data), "a")
			for range 21 {
				p.Chunk(make([]byte, 1<<20))
			}
		}, ErrSize},
	}
	for _, tt := range tests {
		var p Push
		tt.do(&p)
		name, got, err := p.End()
		if !errors.Is(err, tt.want) || (err == nil && (name != "a" || !bytes.Equal(got, data))) || (err != nil && got != nil) {
			t.Errorf("%s: %q, %d bytes, %v; want %v", tt.name, name, len(got), err, tt.want)
		}
		if p.Active() || p.data != nil {
			t.Errorf("%s: something is left", tt.name)
		}
	}
}

func TestStoreKeepsToItsDirectory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, err := Open(filepath.Join(root, "shared"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Sums(); got != (Sums{}) {
		t.Errorf("sums of nothing: %+v", got)
	}
	outside := filepath.Join(root, "outside")
	if err := os.WriteFile(outside, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for _, name := range []string{"link", ConfigName} {
			if err := os.Symlink(outside, filepath.Join(root, "shared", name)); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.Sums(); got.Config != "" {
			t.Error("a link out of the directory was read")
		}
	}
	refused, err := s.Put("merged.mg", []byte("!3 link\nabc!3 agent.conf\ndef!1 ../outside\nx"))
	if err != nil || !reflect.DeepEqual(refused, []string{"../outside"}) {
		t.Errorf("refused %q, %v", refused, err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "untouched" {
		t.Errorf("a file outside became %q", got)
	}
	if got := s.Sums(); got.Config != sum([]byte("def")) || got.Merged == "" {
		t.Errorf("sums %+v", got)
	}
	for _, name := range []string{"../outside", "", "/x", "a/b", ".."} {
		if _, err := s.Put(name, nil); !errors.Is(err, ErrName) {
			t.Errorf("Put(%q): %v", name, err)
		}
	}
	before := s.Sums()
	if _, err := s.Put("merged.mg", []byte("no merged file")); !errors.Is(err, proto.ErrMerged) || s.Sums() != before {
		t.Errorf("Put: %v", err)
	}
}

// A manager can neither stop the merged file by a name that no file can have, nor fill the directory without end.
func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{maxName, maxName + 1, 250, 255} {
		name := strings.Repeat("n", n)
		refused, err := s.Put("merged.mg", []byte("!1 "+name+"\nx!1 other\ny"))
		if err != nil || (len(refused) == 1) != (n > maxName) {
			t.Errorf("a name of %d bytes: refused %.20q, %v", n, refused, err)
		}
	}
	for i := range maxStored + 10 {
		_, err = s.Put("file"+strconv.Itoa(i), nil)
	}
	if !errors.Is(err, ErrMany) {
		t.Errorf("Put without end: %v", err)
	}
	if _, err := s.Put("file0", []byte("new")); err != nil {
		t.Errorf("a new version: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > maxStored {
		t.Errorf("%d files, %v", len(entries), err)
	}
}
