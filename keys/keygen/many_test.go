package keygen

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ossecd/keys"
)

func TestAddMany(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, in string
		want     string // NAME IP ID GROUPS of what was added, or the beginning of why not
	}{
		{"names", "web01\nweb02\n", "web01 any 001 -|web02 any 002 -"},
		{"columns", "db,192.0.2.9,7,b;a\n# comment\nweb01,,,\n", "db 192.0.2.9 7 a,b|web01 any 008 -"},
		{"a head", "ip,name\n10.0.0.0/8,net\n,any1\n", "net 10.0.0.0/8 001 -|any1 any 002 -"},
		{"a head, as spreadsheets write it", "\ufeffid,name\r\n7,net\r\n", "net any 7 -"},
		{"UTF-16, as PowerShell writes it", "\xff\xfew\x00e\x00b\x00\r\x00\n\x00", "web any 001 -"},
		{"a mark before a quote", "\ufeff\"web01\"\n", "web01 any 001 -"},
		{"a name twice", "web01\nweb01\nweb02\n", "web01 any 001 -|error: line 2: the name web01 is taken|web02 any 002 -"},
		{"bad fields", "a b\nxx,300.1.1.1\nyy,any,0x1\nzz,any,1,a b\nqq,any,1,a,b\n", `error: line 1: "a b" is not an agent name|error: line 2: "300.1.1.1" is not an address|` +
			`error: line 3: "0x1" is not an agent ID|error: line 4: "a b" is not a group name|error: line 5: it has 5 fields`},
		{"an escape", "\x1b[2Jx\n", `error: line 1: "\x1b[2Jx" is not an agent name`},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "client.keys")
			out, _, err := run(t, path, test.in, "add", "-", "--keys", "{keys}")
			notes, notesErr := keys.LoadNotes(path)
			if notesErr != nil {
				t.Fatal(notesErr)
			}
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			wants := strings.Split(test.want, "|")
			if len(lines) != len(wants) {
				t.Fatalf("got %d lines: %q; want %d", len(lines), out, len(wants))
			}
			bad := false
			for i, want := range wants {
				got := lines[i]
				if k, err := keys.ParseLine(got); err == nil {
					n := notes.Of(k)
					got = fmt.Sprintf("%s %s %s %s", k.Name, k.Address, k.ID, orNone(strings.Join(n.Groups, ",")))
					if n.Made.IsZero() {
						t.Errorf("%q: the age of the key is not noted", got)
					}
				} else {
					bad = bad || got != ""
				}
				if !strings.HasPrefix(got, want) || (want == "") != (got == "") {
					t.Errorf("line %d: got %q, want %q", i, got, want)
				}
			}
			if (err != nil) != bad {
				t.Errorf("got the error %v, and faults: %v", err, bad)
			}
		})
	}
}

func TestAddManyJSON(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	out, _, err := run(t, path, "web01\nweb01\n", "add", "-", "--json", "--keys", "{keys}")
	if err == nil {
		t.Error("no error where a line was refused")
	}
	d := json.NewDecoder(strings.NewReader(out))
	var good, bad struct {
		Line                 int
		ID, Name, Key, Error string
	}
	if err := d.Decode(&good); err != nil || good.ID != "001" || good.Line != 1 || len(good.Key) != 64 || good.Error != "" {
		t.Errorf("got %+v, %v", good, err)
	}
	if err := d.Decode(&bad); err != nil || bad.Name != "web01" || bad.Line != 2 || bad.Key != "" || !strings.Contains(bad.Error, "taken") {
		t.Errorf("got %+v, %v", bad, err)
	}
}

func TestBrokenCSV(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	if _, _, err := run(t, path, "web01\n\"x\n", "add", "-", "--keys", "{keys}"); err == nil || !strings.Contains(err.Error(), "nothing was added") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("keys were added all the same")
	}
}

const (
	line1 = "001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	line2 = "002 db01 192.0.2.7 0f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
)

func TestImportFile(t *testing.T) {
	t.Parallel()
	from := written(t, line1, "002 #*#*#*#*#*#*#*#*#*#*#", "003 !gone any x", "bad line", "004 web04 any "+strings.Repeat("a", 64))
	path := written(t, line1, "007 web04 any xyz")
	out, _, err := run(t, path, "", "import", "--file", from, "--keys", "{keys}")
	if err == nil {
		t.Error("no error where lines were refused")
	}
	for _, want := range []string{"unchanged 001 web01 any\n", "error: line 4: ", "error: line 5: the name web04 is taken by agent 007"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	if next := must(t, path, "add", "new1", "--keys", "{keys}"); !strings.HasPrefix(next, "008 ") {
		t.Errorf("the next agent is %q", next)
	}
	if _, _, err := run(t, path, "", "add", "new2", "--id", "003", "--keys", "{keys}"); err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("an ID that was removed elsewhere is given out: %v", err)
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	path := written(t, line1, line2)
	must(t, path, "group", "001", "web,eu", "--keys", "{keys}")
	must(t, path, "rename", "001", "www", "--keys", "{keys}")
	must(t, path, "set-ip", "001", "10.0.0.0/8", "--keys", "{keys}")
	if got, want := read(t, path), strings.Replace(line1, "web01 any", "www 10.0.0.0/8", 1)+"\n"+line2+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if out := must(t, path, "list", "--group", "eu", "--json", "--keys", "{keys}"); !strings.Contains(out, `"groups":["eu","web"]`) || strings.Contains(out, "db01") {
		t.Errorf("list: %s", out)
	}
	must(t, path, "group", "001", "--keys", "{keys}")
	if out := must(t, path, "list", "--group", "eu", "--json", "--keys", "{keys}"); out != "[]\n" {
		t.Errorf("list: %s", out)
	}
	for _, args := range [][]string{
		{"rename", "001", "db01"}, {"rename", "009", "xx"}, {"rename", "001", "a b"}, {"rename", "001"}, {"set-ip", "001", "192.0.2.7"},
		{"set-ip", "001", "nowhere"}, {"group", "001", "a b"}, {"group", "009", "aa"}, {"rotate"}, {"rotate", "001", "--all"}, {"rotate", "009"},
		{"export"}, {"export", "001", "--all"}, {"export", "001", "--next"}, {"import"}, {"import", "x", "--file", "y"}, {"add", "-", "--id", "5"},
	} {
		if out, _, err := run(t, path, "", append(args, "--keys", "{keys}")...); err == nil {
			t.Errorf("%q: no error, and %q", args, out)
		}
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	path := written(t, line1, line2)
	out := must(t, path, "rotate", "--older-than", "24h", "--keys", "{keys}") // of unknown age
	if strings.Count(out, "a new key is ordered") != 2 {
		t.Errorf("got %q", out)
	}
	if got, want := read(t, path), line1+"\n"+line2+"\n"; got != want {
		t.Errorf("the keys file was changed: %q", got)
	}
	next := must(t, path, "export", "001", "--next", "--keys", "{keys}")
	if out := must(t, path, "rotate", "001", "--keys", "{keys}"); !strings.Contains(out, "not used yet") {
		t.Errorf("got %q", out)
	}
	if again := must(t, path, "export", "001", "--next", "--keys", "{keys}"); again != next {
		t.Error("a key that the agent may have was replaced")
	}
	if out := must(t, path, "list", "--rotating", "--keys", "{keys}"); strings.Count(out, "\n") != 3 {
		t.Errorf("list: %q", out)
	}
	if out := must(t, path, "export", "--all", "--next", "--keys", "{keys}"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "001 web01 "+next) {
		t.Errorf("export: %q", out)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"in order", []string{line1, line2}, nil},
		{"bad line", []string{line1, "x"}, []string{":2: want four fields"}},
		{"a name twice", []string{line1, "003 web01 any " + strings.Repeat("b", 64)}, []string{":2: the name web01 is that of agent 001"}},
		{"a key twice", []string{line1, strings.Replace(line1, "001 web01", "003 web03", 1)}, []string{":2: the key is that of agent 001"}},
		{"a weak key", []string{"001 web01 any abc"}, []string{":1: the key has 3 characters"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := written(t, test.lines...)
			before := read(t, path)
			out, _, err := run(t, path, "", "verify", "--keys", "{keys}")
			if (err != nil) != (test.want != nil) {
				t.Errorf("got %q, %v", out, err)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("got %q, want %q in it", out, want)
				}
			}
			if read(t, path) != before {
				t.Error("the file was changed")
			}
		})
	}
}

func TestFaultyNotes(t *testing.T) {
	t.Parallel()
	path := written(t, line1)
	if err := os.WriteFile(keys.NotesPath(path), []byte("001 what\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, path, "", "add", "web02", "--keys", "{keys}"); err == nil || !strings.Contains(err.Error(), "client.keys.notes:1: ") {
		t.Errorf("got %v", err)
	}
	if out, _, err := run(t, path, "", "verify", "--keys", "{keys}"); err == nil || !strings.Contains(out, "client.keys.notes:1: ") {
		t.Errorf("got %q, %v", out, err)
	}
}
