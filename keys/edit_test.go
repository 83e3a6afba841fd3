package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// edited makes a keys file with that text and changes it.
func edited(t *testing.T, text string, change func(*File) error) (after string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.keys")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	err = Edit(t.Context(), path, change)
	b, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(b), err
}

func TestAddTakesNextID(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, id string }{
		"empty file":             {"", "001"},
		"one line end":           {"\n", "001"},
		"after the last":         {one + two, "003"},
		"no last line end":       {strings.TrimSuffix(one, "\n"), "002"},
		"a gap is not filled":    {one + "009 web09 any x\n", "010"},
		"not in order":           {three + one, "004"},
		"removed":                {one + "007 #*#*#*#\n", "008"},
		"removed as Wazuh does":  {one + "008 !web08 any x\n", "009"},
		"faulty":                 {"005 web05\n" + one, "006"},
		"CR LF":                  {"001 web01 any x\r\n004 #*#\r\n", "005"},
		"byte order mark":        {bom + "003 web01 any x\n", "004"},
		"byte order mark, CR LF": {bom + "003 web01 any x\r\n", "004"},
		"comments do not count":  {"#9 x\n 7 x\n" + one, "002"},
		"past three digits":      {"999 web01 any x\n", "1000"},
		"short and long numbers": {"1 web01 any x\n00000002 web02 any x\n", "003"},
	} {
		var k Key
		after, err := edited(t, test.text, func(f *File) (err error) {
			k, err = f.Add("new", Any, "")
			return err
		})
		if err != nil || k.ID != test.id {
			t.Errorf("%s: got %v, %v, want the ID %s", name, k, err, test.id)
			continue
		}
		before := strings.TrimSuffix(test.text, "\n")
		if before != "" {
			before += "\n"
		}
		if want := before + k.Line() + "\n"; after != want {
			t.Errorf("%s: got the file %q, want %q", name, after, want)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	single, err := ParseAddress("10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	text := one + "002 db 10.0.0.1/32 x\n004 #*#*#\n005 !old any x\n006 faulty\n"
	for name, test := range map[string]struct {
		text, name string
		address    Address
		id, want   string
	}{
		"ID taken":        {text, "new", Any, "001", "by line 1"},
		"ID removed":      {text, "new", Any, "004", "never given out again"},
		"ID removed, !":   {text, "new", Any, "005", "never given out again"},
		"ID of a faulty":  {text, "new", Any, "006", "by line 5"},
		"ID 000":          {text, "new", Any, "000", "not an agent ID"},
		"ID a path":       {text, "new", Any, "../1", "not an agent ID"},
		"name taken":      {text, "web01", Any, "", "by agent 001"},
		"name and blanks": {text, "a b", Any, "", "four fields"},
		"name of 1":       {text, "a", Any, "", "not an agent name"},
		"line end":        {text, "new\n009", Any, "", "not an agent name"},
		"address taken":   {text, "new", single, "", "by agent 002"},
		"no address":      {text, "new", Address{}, "", "not an address"},
		"no ID left":      {"99999999 web any x\n", "new", Any, "", "none after it"},
	} {
		after, err := edited(t, test.text, func(f *File) error {
			k, err := f.Add(test.name, test.address, test.id)
			if err != nil && k != (Key{}) {
				t.Errorf("%s: got %v beside the error", name, k)
			}
			return err
		})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if after != test.text {
			t.Errorf("%s: the file changed: %q", name, after)
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	gone := "001 " + removedText + "\n"
	for name, test := range map[string]struct{ text, after string }{
		"first":            {one + two, gone + two},
		"others untouched": {"# note\r\n\n  x\n" + one + "bad line\n002 web02 any x\r\n", "# note\r\n\n  x\n" + gone + "bad line\n002 web02 any x\r\n"},
		"CR LF":            {strings.Replace(one, "\n", "\r\n", 1), gone},
		"byte order mark":  {bom + one + two, bom + gone + two},
		"twice":            {one + "001 web09 any " + testSecret + "\n001 web/8 any " + testSecret + "\n" + two, gone + gone + gone + two},
		"no last line end": {strings.TrimSuffix(one, "\n"), gone},
	} {
		after, err := edited(t, test.text, func(f *File) error {
			k, err := f.Remove("001")
			if k.Name != "web01" {
				t.Errorf("%s: removed %v", name, k)
			}
			return err
		})
		if err != nil || after != test.after {
			t.Errorf("%s: got %q, %v, want %q", name, after, err, test.after)
		}
		set, _, err := Parse(strings.NewReader(after), "k")
		if _, living := set.ByID("001"); err != nil || living {
			t.Errorf("%s: 001 lives on", name)
		}
	}
	for _, id := range []string{"003", "1", "", "004", "x\x1b[2J"} {
		after, err := edited(t, one+"004 #*#\n", func(f *File) error { _, err := f.Remove(id); return err })
		if !errors.Is(err, ErrNoAgent) || after != one+"004 #*#\n" || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: got %v, file %q", id, err, after)
		}
	}
}

// TestEditSeveral makes changes in one edit which build on each other.
func TestEditSeveral(t *testing.T) {
	t.Parallel()
	after, err := edited(t, one+two, func(f *File) error {
		if _, err := f.Remove("001"); err != nil {
			return err
		}
		k, err := f.Add("web01", Any, "") // the name is free again, the ID is not
		if err != nil || k.ID != "003" {
			return fmt.Errorf("got %v, %v", k, err)
		}
		if _, err := f.Add("web03", Any, "001"); err == nil {
			return errors.New("a removed ID was given out")
		}
		if got, ok := f.Set().ByID("003"); !ok || got != k || ids(f.Set()) != "002 003" {
			return fmt.Errorf("the set has %s", ids(f.Set()))
		}
		return f.Import(mustParse(t, "100 far 10.0.0.0/8 secret"))
	})
	if err != nil {
		t.Fatal(err)
	}
	set, faults, err := Parse(strings.NewReader(after), "k")
	if err != nil || len(faults) > 0 || ids(set) != "002 003 100" {
		t.Errorf("got %s, %v, %v", ids(set), faults, err)
	}
}

func TestEditFailed(t *testing.T) {
	t.Parallel()
	sorry := errors.New("sorry")
	after, err := edited(t, one, func(f *File) error {
		if _, err := f.Add("new", Any, ""); err != nil {
			return err
		}
		return sorry
	})
	if !errors.Is(err, sorry) || after != one {
		t.Errorf("got %v and the file %q", err, after)
	}
	if err := Edit(t.Context(), filepath.Join(t.TempDir(), "no", "k"), func(*File) error { return nil }); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("no directory: got %v", err)
	}
	if err := Edit(t.Context(), t.TempDir(), func(*File) error { return nil }); err == nil {
		t.Error("a directory was edited")
	}
}

func TestEditModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	add := func(name string) error {
		return Edit(t.Context(), path, func(f *File) error { _, err := f.Add(name, Any, ""); return err })
	}
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if err := add("first"); err != nil || mode(path) != 0o600 || mode(path+".lock") != 0o600 {
		t.Fatalf("new: got the modes %o and %o, %v", mode(path), mode(path+".lock"), err)
	}
	if err := errors.Join(os.Chmod(path, 0o440), add("second")); err != nil || mode(path) != 0o440 {
		t.Errorf("stock's: got the mode %o, %v", mode(path), err)
	}
	// By a link: the link stays, and the lock is the same.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := Edit(t.Context(), link, func(f *File) error { _, err := f.Add("third", Any, ""); return err }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info, err)
	}
	if set, _, err := Load(path); err != nil || ids(set) != "001 002 003" {
		t.Errorf("behind the link: %v, %v", set, err)
	}
	if _, err := os.Lstat(link + ".lock"); err == nil {
		t.Error("the link has a lock of its own")
	}
}

// Who waits for another to end can be stopped.
func TestEditGivesUpWaiting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	ctx, cancel := context.WithCancel(t.Context())
	err := Edit(t.Context(), path, func(*File) error {
		time.AfterFunc(2*20*time.Millisecond, cancel)
		err := Edit(ctx, path, func(*File) error { return errors.New("two at once") })
		if err == nil || !strings.Contains(err.Error(), "gave up waiting") {
			t.Errorf("while another edits: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// adderEnv tells the test binary to be a process that adds agents: FILE and a prefix for their names.
const adderEnv = "OSSECD_TEST_ADDER"

const addsEach = 5

func addSome(ctx context.Context, path, prefix string) error {
	for i := range addsEach {
		err := Edit(ctx, path, func(f *File) error { _, err := f.Add(fmt.Sprintf("%s-%d", prefix, i), Any, ""); return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// TestEditConcurrent adds agents from goroutines and from processes at once, while a reader looks on.
func TestEditConcurrent(t *testing.T) {
	if arg := os.Getenv(adderEnv); arg != "" {
		prefix, path, _ := strings.Cut(arg, " ")
		if err := addSome(t.Context(), path, prefix); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	const goroutines, processes = 8, 3
	path := filepath.Join(t.TempDir(), "client.keys")
	if err := os.WriteFile(path, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var reader, writers sync.WaitGroup
	reader.Go(func() {
		for most := 1; !done.Load(); {
			text, err := os.ReadFile(path)
			if err != nil && runtime.GOOS == "windows" {
				continue // between two files there may be none that can be opened
			}
			set, faults, parseErr := Parse(strings.NewReader(string(text)), "k")
			if err != nil || parseErr != nil || len(faults) > 0 || len(set.Keys) < most || !strings.HasSuffix(string(text), "\n") {
				t.Errorf("the reader saw %d bytes, %v, %v, %v", len(text), err, parseErr, faults)
				return
			}
			most = len(set.Keys)
		}
	})
	for i := range goroutines {
		writers.Go(func() {
			if err := addSome(t.Context(), path, fmt.Sprintf("goroutine%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range processes {
		writers.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestEditConcurrent$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=process%d %s", adderEnv, i, path))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	writers.Wait()
	done.Store(true)
	reader.Wait()
	set, faults, err := Load(path)
	if err != nil || len(faults) > 0 {
		t.Fatal(faults, err)
	}
	if want := 1 + addsEach*(goroutines+processes); len(set.Keys) != want {
		t.Fatalf("got %d agents, want %d", len(set.Keys), want)
	}
	for i, k := range set.Keys {
		if want := fmt.Sprintf("%03d", i+1); k.ID != want {
			t.Errorf("got the ID %s, want %s", k.ID, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
