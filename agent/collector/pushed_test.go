package collector

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/agent/source"
	"ossecd/keys/testlog"
)

func TestPushedTables(t *testing.T) {
	t.Parallel()
	const file = "[[agent.source]]\ntype = \"file\"\nfile = [\"/a\"]\n"
	for _, tt := range []struct {
		text     string
		commands bool
		want     int
		fault    string
	}{
		{"", false, 0, ""},
		{"# nothing\n", false, 0, ""},
		{file, false, 1, ""},
		{file + "[[agent.source]]\ntype = \"journald\"\n", false, 2, ""},
		{"\ufeff" + strings.ReplaceAll(file, "\n", "\r\n"), false, 1, ""},
		{"\xff\xfe" + strings.Join(strings.Split(file, ""), "\x00") + "\x00", false, 1, ""},
		{"[[agent.source]]\ntype = \"command\"\nshell = \"x\"\n", false, 0, "source[1]: type: \"command\" is not taken"},
		{"[[agent.source]]\ntype = \"full-command\"\nshell = \"x\"\n", true, 1, ""},
		{"[[agent.source]]\ntype = \"ossec-queue\"\npath = \"/etc/x\"\n", true, 0, "source[1]: type: \"ossec-queue\" is not taken"},
		{file + "[[agent.source]]\ntype = \"syslog\"\n", true, 0, "source[2]: type: \"syslog\" is not taken"},
		{"[[agent.source]]\ntype = 7\n", true, 0, "source[1]: type: \"\" is not taken"},
		{"[agent]\nkeys = \"/etc/shadow\"\n", false, 0, "nothing else"},
		{"[agent.active_response]\nenabled = true\n", false, 0, "nothing else"},
		{"[manager]\n", false, 0, "nothing else"},
		{"[agent]\nsource = 7\n", false, 0, "ossecd.toml: "},
		{"[[agent.source]\n", false, 0, "ossecd.toml: "},
		{strings.Repeat("[[agent.source]]\n", maxTables+1), false, 0, "up to 256"},
	} {
		got, err := pushedTables(tt.text, tt.commands)
		if len(got) != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%.80q: %d, %v", tt.text, len(got), err)
		}
	}
}

// output takes what sources emit, as "FILE:MESSAGE".
type output chan string

func (o output) Emit(_ context.Context, batch []source.Event) (int, error) {
	for _, e := range batch {
		o <- filepath.Base(e.Location) + ":" + string(e.Message)
	}
	return len(batch), nil
}

func (output) Idle() {}

// waitUntil waits for what other goroutines bring about.
func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// A new file takes the place of the one before, one with a fault does not, over a restart either.
func TestPushedSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, out := new(testlog.Buffer), make(output, 100)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	table := func(name string) string {
		return "[[agent.source]]\ntype = \"file\"\nfrom_start = true\nfile = ['" + filepath.Join(dir, name) + "']\n"
	}
	follows := func(name string) func() bool {
		return func() bool { return log.Count("following file", name) > 0 }
	}
	start := func() (*Pushed, func()) {
		t.Helper()
		output := func(string) source.Output { return out }
		p, err := NewPushed(Config{State: dir, MaxEvent: 6000}, filepath.Join(dir, "shared"), false, output, log.Logger())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.Run(ctx); close(done) }()
		return p, func() { cancel(); <-done }
	}
	for _, name := range []string{"a.log", "b.log", "c.log"} {
		write(name, "line\n")
	}
	write("shared/ossecd.toml", table("a.log"))
	p, stop := start()
	var got []string
	read := func(want string) func() bool {
		return func() bool {
			select {
			case line := <-out:
				got = append(got, line)
			default:
			}
			return strings.Join(got, " ") == want
		}
	}
	waitUntil(t, "a is read", read("a.log:line"))
	write("shared/ossecd.toml", table("b.log"))
	p.Changed()
	waitUntil(t, "b is read", read("a.log:line b.log:line"))
	if log.Count("no file matches yet", "a.log") > 0 {
		t.Error("a file that is there is said to be missing")
	}
	write("shared/ossecd.toml", table("b.log', '"+filepath.Join(dir, "none*")))
	p.Changed()
	waitUntil(t, "what matches nothing is named", func() bool { return log.Count("no file matches yet", "none*") == 1 })
	write("shared/ossecd.toml", table("c.log")+"globz = 1\n")
	p.Changed()
	waitUntil(t, "a fault is told", func() bool { return log.Count("refused", "globz") == 1 })
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, "b.log"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	add("more\n")
	waitUntil(t, "b goes on", read("a.log:line b.log:line b.log:more"))
	stop()
	add("later\n")
	_, stop = start()
	waitUntil(t, "b goes on after a restart", read("a.log:line b.log:line b.log:more b.log:later"))
	stop()
	if follows("c.log")() {
		t.Error("a file with a fault was taken")
	}
}
