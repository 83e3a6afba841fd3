package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func ids(s *Set) string {
	var out []string
	for _, k := range s.Keys {
		out = append(out, k.ID)
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	t.Parallel()
	const s = testSecret
	for name, test := range map[string]struct {
		text    string
		ids     string
		removed string
		faults  []string // line, "kept" or "lost", ID, and a part of the text
	}{
		"nothing":           {text: ""},
		"only line ends":    {text: "\n\n\r\n"},
		"two":               {text: "001 web01 any " + s + "\n002 web02 10.0.0.2 " + s + "\n", ids: "001 002"},
		"no last line end":  {text: "001 web01 any " + s, ids: "001"},
		"order of the file": {text: "010 web01 any " + s + "\n1 web02 any " + s + "\n001 web03 any " + s, ids: "010 1 001"},
		"comments":          {text: "# a comment\n#001 web01 any x\n 001 web01 any x\n\n002 web02 any " + s, ids: "002"},
		"removed": {text: "001 #*#*#*#*#\n002 !web02 any " + s + "\n003 #web03 any " + s + "\n004 web04 any " + s,
			ids: "004", removed: "001 002 003"},
		"removed line ends": {text: "001 #*#*#*#\r\n", removed: "001", faults: []string{"1 kept 001 CR LF"}},
		"same name":         {text: "001 web01 any " + s + "\n002 web01 any " + s, ids: "001 002"},
		"CR LF":             {text: "001 web01 any " + s + "\r\n002 web02 any " + s + "\r\n", ids: "001 002", faults: []string{"1 kept 001 CR LF", "2 kept 002 CR LF"}},
		"byte order mark":   {text: bom + "001 web01 any " + s + "\n", ids: "001", faults: []string{"1 kept  byte order mark"}},
		"NUL bytes":         {text: "001 web01 any " + s + "\n\x00\x00\x00\x00\n003 web03 any " + s, ids: "001 003", faults: []string{"2 lost  control character"}},
		"NUL in a key":      {text: "001 web01 any " + s + "\x00", faults: []string{"1 lost 001 control character"}},
		"tabs":              {text: "001\tweb01\tany\t" + s, faults: []string{"1 lost  control character"}},
		"few fields":        {text: "\n001 web01 any\n", faults: []string{"2 lost 001 four fields"}},
		"half a line":       {text: "001 web01 any " + s + "\n00", ids: "001", faults: []string{"2 lost 00 four fields"}},
		"bad ID":            {text: "web01 001 any " + s, faults: []string{`1 lost  "web01" is not an agent ID`}},
		"the manager's ID":  {text: "000 web01 any " + s, faults: []string{`1 lost 000 "000" is not an agent ID`}},
		"bad name":          {text: "001 web/01 any " + s, faults: []string{`1 lost 001 "web/01" is not an agent name`}},
		"bad address":       {text: "001 web01 10.0.0.300 " + s, faults: []string{`1 lost 001 "10.0.0.300" is not an address`}},
		"no key":            {text: "001 web01 any ", faults: []string{"1 lost 001 key of 0 bytes"}},
		"long line":         {text: "001 web01 any " + strings.Repeat("a", 3000) + "\n002 web02 any " + s, ids: "002", faults: []string{"1 lost 001 the most is 2047"}},
		"ID twice":          {text: "\n001 web01 any " + s + "\n001 web02 any " + s, ids: "001", faults: []string{"3 lost 001 taken by line 2"}},
		"address twice": {text: "001 web01 10.0.0.1 " + s + "\n002 web02 10.0.0.1/32 " + s + "\n003 web03 ::ffff:10.0.0.1 " + s,
			ids: "001", faults: []string{"2 lost 002 10.0.0.1 is taken by line 1", "3 lost 003 10.0.0.1 is taken by line 1"}},
		"address twice, IPv6":   {text: "001 web01 2001:db8::1 " + s + "\n002 web02 2001:0db8::01 " + s, ids: "001", faults: []string{"2 lost 002 is taken by line 1"}},
		"address of a lost one": {text: "001 web/1 10.0.0.1 " + s + "\n002 web02 10.0.0.1 " + s, ids: "002", faults: []string{"1 lost 001 agent name"}},
		"networks overlap":      {text: "001 web01 10.0.0.0/8 " + s + "\n002 web02 10.0.0.0/8 " + s + "\n003 web03 10.0.0.1 " + s + "\n004 web04 !10.0.0.1 " + s, ids: "001 002 003 004"},
		"two faults in a line":  {text: "001 web/01 any " + s + "\r\n", faults: []string{"1 kept 001 CR LF", "1 lost 001 agent name"}},
		"a binary file":         {text: "\x7fELF\x02\x01\n\xff\xfe\x00", faults: []string{"1 lost  control character", "2 lost  control character"}},
	} {
		set, faults, err := Parse(strings.NewReader(test.text), "client.keys")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ids(set) != test.ids || strings.Join(set.Removed, " ") != test.removed {
			t.Errorf("%s: got the IDs %q, removed %q; want %q, %q", name, ids(set), set.Removed, test.ids, test.removed)
		}
		if len(faults) != len(test.faults) {
			t.Errorf("%s: got the faults %v, want %q", name, faults, test.faults)
			continue
		}
		for i, f := range faults {
			kept := "lost"
			if f.Kept {
				kept = "kept"
			}
			want := strings.SplitN(test.faults[i], " ", 4)
			if got := []string{fmt.Sprint(f.Line), kept, f.ID}; !slices.Equal(got, want[:3]) || !strings.Contains(f.Error(), want[3]) {
				t.Errorf("%s: got %q %v, want %q", name, got, f, want)
			}
			if !strings.HasPrefix(f.Error(), fmt.Sprintf("client.keys:%d: ", f.Line)) || strings.Contains(f.Error(), s) ||
				strings.ContainsAny(f.Error(), "\n\r\x00\x1b") {
				t.Errorf("%s: got the text %q", name, f)
			}
		}
	}
}

func TestSetByID(t *testing.T) {
	t.Parallel()
	set, _, err := Parse(strings.NewReader("001 web01 any a\n1 web1 any b\n002 #*#*#"), "k")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"001": "web01", "1": "web1", "002": "", "": "", "01": ""} {
		if k, ok := set.ByID(id); k.Name != want || ok != (want != "") {
			t.Errorf("%q: got %v, %v, want %q", id, k, ok, want)
		}
	}
	if _, ok := new(Set).ByID("001"); ok {
		t.Error("the empty set has an agent")
	}
}

// endless is a file of nothing but NUL bytes.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestParseBounds(t *testing.T) {
	t.Parallel()
	if _, _, err := Parse(endless{}, "k"); !errors.Is(err, errNoKeysFile) || !strings.Contains(err.Error(), "64 MB") {
		t.Errorf("endless file: got %v", err)
	}
	many := strings.NewReader(strings.Repeat("x\n", maxFaults+1))
	if _, _, err := Parse(many, "k"); !errors.Is(err, errNoKeysFile) || !strings.Contains(err.Error(), "faults") {
		t.Errorf("nothing but faults: got %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
	if _, _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: got %v", err)
	}
	broken := errors.New("broken disk")
	if set, _, err := Parse(iotest.ErrReader(broken), "k"); !errors.Is(err, broken) || set != nil {
		t.Errorf("broken: got %v, %v", set, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("001 web-01 any " + testSecret + "\n002 db_02.example 10.1.2.3 0123456789abcdef\n"))
	f.Add([]byte("001 #*#*#*#*#*#*#*#*#*#*#\n002 !gone any " + testSecret + "\n"))
	f.Add([]byte(bom + "003 net-a 192.168.10.0/24 deadbeef\r\n003 net-b !10.0.0.0/255.0.0.0 cafe\r\n"))
	f.Add([]byte("# comment\n 001 x\n\n004 v6host 2001:0db8:0000:0000:0000:0000:0000:0005 aaaa\n005 v6twin 2001:db8::5 bbbb"))
	f.Add([]byte("001 web01 any\n\x00\x00\n000 manager any key\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, faults, err := Parse(strings.NewReader(string(text)), "client.keys")
		if err != nil {
			t.Fatal(err)
		}
		var again strings.Builder
		for i, k := range set.Keys {
			if got, err := ParseLine(k.Line()); err != nil || got != k {
				t.Fatalf("the line of %v read again: %v, %v", k, got, err)
			}
			if got, ok := set.ByID(k.ID); !ok || got != set.Keys[i] {
				t.Fatalf("by ID %s: %v, %v", k.ID, got, ok)
			}
			if CheckID(k.ID) != nil || CheckName(k.Name) != nil {
				t.Fatalf("took %v", k)
			}
			again.WriteString(k.Line() + "\n")
		}
		for _, id := range set.Removed {
			if checkID(id) != nil {
				t.Fatalf("removed ID %q", id)
			}
		}
		line := 1
		for _, f := range faults {
			if f.Line < line || f.Line > 1+strings.Count(string(text), "\n") {
				t.Fatalf("fault of line %d behind that of line %d", f.Line, line)
			}
			line = f.Line
			if f.ID != "" && checkID(f.ID) != nil {
				t.Fatalf("fault of ID %q", f.ID)
			}
			if strings.ContainsFunc(f.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("fault with control characters: %q", f)
			}
		}
		twice, faults, err := Parse(strings.NewReader(again.String()), "client.keys")
		if err != nil || len(faults) > 0 || !slices.Equal(twice.Keys, set.Keys) {
			t.Fatalf("written and read again: %v, %v, %v", twice, faults, err)
		}
	})
}

func BenchmarkParse100k(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "%06d host-%06d.example 10.%d.%d.%d %s\n", i+1, i, i>>16, i>>8&255, i&255, testSecret)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		set, faults, err := Parse(strings.NewReader(text.String()), "k")
		if err != nil || len(faults) > 0 || len(set.Keys) != 100_000 {
			b.Fatal(len(set.Keys), faults, err)
		}
	}
}

// A keys file and an export that a shell of Windows wrote.
func TestKeysInUTF16(t *testing.T) {
	t.Parallel()
	wide := func(text string) string { return "\xff\xfe" + strings.Join(strings.Split(text, ""), "\x00") + "\x00" }
	set, faults, err := Parse(strings.NewReader(wide("001 web01 any x\r\n")), "client.keys")
	if err != nil || len(set.Keys) != 1 || set.Keys[0].Name != "web01" || len(faults) != 2 || !faults[0].Kept || !faults[1].Kept {
		t.Errorf("got %v, %v, %v", set, faults, err)
	}
	after, err := edited(t, wide("001 web01 any x\n"), func(f *File) error {
		_, err := f.Add("new", Any, "")
		return err
	})
	if err != nil || !strings.HasPrefix(after, bom+"001 web01 any x\n002 new any ") {
		t.Errorf("edited: %q, %v", after, err)
	}
	want := Key{ID: "001", Name: "web01", Address: Any, Secret: "x"}
	for _, text := range []string{bom + want.Export() + "\r\n", wide(want.Export() + "\r\n")} {
		if k, err := ParseExport(text); err != nil || k != want {
			t.Errorf("%q: %v, %v", text, k, err)
		}
	}
}

// Notes that an editor of Windows saved.
func TestMarkedNotes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	if err := os.WriteFile(NotesPath(path), []byte(bom+"# notes\r\n001 0123456789abcdef - - - - -\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := LoadNotes(path); err != nil || len(n.lines) != 1 {
		t.Errorf("got %v, %v", n, err)
	}
}
