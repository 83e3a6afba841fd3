package keygen

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
	"ossecd/keys/setting"
	"ossecd/proto"
)

// oneRun keeps runs apart: the help flag of package cli is one for all.
var oneRun sync.Mutex

// run calls keygen as main does. {keys} in an argument is the path of the keys file.
func run(t *testing.T, path, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	command := Command()
	wrong := func(_ *cli.Context, err error, _ bool) error { return cli.Exit(err.Error(), exitUsage) }
	for _, sub := range command.Subcommands {
		sub.HideHelpCommand = true
		sub.OnUsageError = wrong
	}
	app := &cli.App{
		Name: "ossecd", Commands: []*cli.Command{command}, Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &errOut,
		ExitErrHandler: func(*cli.Context, error) {},
	}
	line := []string{"keygen"}
	for _, a := range args {
		line = append(line, strings.ReplaceAll(a, "{keys}", path))
	}
	line, _ = setting.FlagsFirst(line, nil, app.Commands)
	line = append([]string{"ossecd"}, line...)
	oneRun.Lock()
	defer oneRun.Unlock()
	err = app.RunContext(t.Context(), line)
	return out.String(), errOut.String(), err
}

func must(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, errOut, err := run(t, path, "", args...)
	if err != nil || errOut != "" {
		t.Fatalf("%q: %v, on standard error %q", args, err, errOut)
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const testLine = "001 web01 any 5f1d4b3a9c7e2f80a1b2c3d4e5f60718293a4b5c6d7e8f900112233445566778"

// written makes a keys file of these lines.
func written(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.keys")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLife takes agents from add to remove.
func TestLife(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	first := must(t, path, "add", "web01", "--keys", "{keys}")
	second := must(t, path, "add", "--ip", "10.0.0.0/8", "--keys={keys}", "db", "--id", "100")
	if first+second != read(t, path) || !strings.HasPrefix(first, "001 web01 any ") || !strings.HasPrefix(second, "100 db 10.0.0.0/8 ") {
		t.Fatalf("added %q and %q, the file has %q", first, second, read(t, path))
	}
	if got, want := must(t, path, "list", "--keys", "{keys}"), "ID   NAME   IP\n001  web01  any\n100  db     10.0.0.0/8\n"; got != want {
		t.Errorf("list: got %q, want %q", got, want)
	}
	if got := must(t, path, "show", "001", "--keys", "{keys}"); got != first {
		t.Errorf("show: got %q, want %q", got, first)
	}
	exported := must(t, path, "export", "100", "--keys", "{keys}")
	if want := base64.StdEncoding.EncodeToString([]byte(strings.TrimSpace(second))) + "\n"; exported != want {
		t.Errorf("export: got %q, want %q", exported, want)
	}
	other := filepath.Join(t.TempDir(), "agent.keys")
	if got := must(t, other, "import", exported, "--keys", "{keys}"); got != "imported 100 db 10.0.0.0/8\n" || read(t, other) != second {
		t.Errorf("import: got %q, the file has %q", got, read(t, other))
	}
	if got := must(t, path, "remove", "001", "--keys", "{keys}"); got != "removed 001 web01 any\n" {
		t.Errorf("remove: got %q", got)
	}
	if got := read(t, path); !strings.HasPrefix(got, "001 #") || strings.Contains(got, "web01") || !strings.HasSuffix(got, "\n"+second) {
		t.Errorf("after remove the file has %q", got)
	}
	if got := must(t, path, "add", "web01", "--keys", "{keys}"); !strings.HasPrefix(got, "101 web01 ") {
		t.Errorf("added again: %q", got)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	path := written(t, testLine, "002 net !10.0.0.0/8 a<b>&c")
	secret := strings.Fields(testLine)[3]
	encoded := base64.StdEncoding.EncodeToString([]byte(testLine))
	for _, test := range []struct {
		want string
		args []string
	}{
		{`[{"id":"001","name":"web01","ip":"any"},{"id":"002","name":"net","ip":"!10.0.0.0/8"}]`, []string{"list"}},
		{`{"id":"001","name":"web01","ip":"any","key":"` + secret + `"}`, []string{"show", "001"}},
		{`{"id":"002","name":"net","ip":"!10.0.0.0/8","key":"a<b>&c"}`, []string{"show", "002"}},
		{`{"id":"001","name":"web01","ip":"any","base64":"` + encoded + `"}`, []string{"export", "001"}},
		{`{"id":"001","name":"web01","ip":"any"}`, []string{"remove", "001"}},
		{`{"id":"007","name":"imported","ip":"any"}`, []string{"import", base64.StdEncoding.EncodeToString([]byte("007 imported any x"))}},
		{`[{"id":"002","name":"net","ip":"!10.0.0.0/8"},{"id":"007","name":"imported","ip":"any"}]`, []string{"list"}},
	} {
		if got := must(t, path, append(test.args, "--json", "--keys", "{keys}")...); got != test.want+"\n" {
			t.Errorf("%q: got %s, want %s", test.args, got, test.want)
		}
	}
	var added agent
	out := must(t, path, "add", "new", "--json", "--keys", "{keys}")
	if err := json.Unmarshal([]byte(out), &added); err != nil || added.ID != "008" || len(added.Key) != 64 {
		t.Errorf("add: got %s, %v", out, err)
	}
	if got := must(t, written(t), "list", "--json", "--keys", "{keys}"); got != "[]\n" {
		t.Errorf("an empty file: got %q, want []", got)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	text := base64.StdEncoding.EncodeToString([]byte(testLine))
	bare := strings.TrimRight(text, "=")
	for name, test := range map[string]struct{ arg, stdin string }{
		"argument":           {text, ""},
		"no padding":         {bare, ""},
		"line ends and tabs": {" " + text[:20] + "\r\n\t" + text[20:] + "\n\n", ""},
		"standard input":     {"-", text + "\n"},
		"wrapped input":      {"-", text[:76] + "\n" + text[76:] + "\n"},
		"line end encoded":   {base64.StdEncoding.EncodeToString([]byte(testLine + "\r\n")), ""},
	} {
		path := filepath.Join(t.TempDir(), "agent.keys")
		if out, errOut, err := run(t, path, test.stdin, "import", test.arg, "--keys", "{keys}"); err != nil || errOut != "" || strings.Contains(out, "5f1d") {
			t.Errorf("%s: got %q, %q, %v", name, out, errOut, err)
			continue
		}
		if got := read(t, path); got != testLine+"\n" {
			t.Errorf("%s: the file has %q", name, got)
		}
	}
	for name, test := range map[string]struct{ arg, stdin string }{
		"empty":          {"", ""},
		"empty input":    {"-", ""},
		"the line":       {testLine, ""},
		"not base64":     {"!!!!", ""},
		"half":           {text[:16], ""},
		"bad line":       {base64.StdEncoding.EncodeToString([]byte("001 web/01 any 5f1d4b3a")), ""},
		"two lines":      {base64.StdEncoding.EncodeToString([]byte(testLine + "\n" + testLine)), ""},
		"escape":         {base64.StdEncoding.EncodeToString([]byte("001 web\x1b[2J any 5f1d4b3a")), ""},
		"endless input":  {"-", strings.Repeat("A", keys.MaxExport+1)},
		"long and blank": {strings.Repeat(" ", keys.MaxExport+1), ""},
	} {
		path := filepath.Join(t.TempDir(), "agent.keys")
		_, _, err := run(t, path, test.stdin, "import", test.arg, "--keys", "{keys}")
		if !errors.Is(err, keys.ErrExport) || strings.Contains(err.Error(), "5f1d") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: got %v, want %v", name, err, keys.ErrExport)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file was made", name)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	path := written(t, testLine)
	for _, args := range [][]string{
		{"add"}, {"add", "a", "b"}, {"add", "a b"}, {"add", "x"}, {"add", "../x"}, {"add", "ab\x1b[2J"}, {"add", "ok", "--ip", "nowhere"}, {"add", "--ip", "nowhere", "ok"},
		{"add", "ok", "--id", "x"}, {"add", "ok", "--id", "000"}, {"add", "ok", "--id", ""}, {"add", "ok", "--no-such"}, {"add", "--no-such", "ok"},
		{"add", "ok", "--ip"}, {"add", "ok", "--json=maybe"}, {"add", "ok", "--keys", ""},
		{"list", "001"}, {"show"}, {"show", "web 01"}, {"show", "001", "002"}, {"show", "../1"}, {"show", "000"},
		{"remove"}, {"remove", "web 01"}, {"export"}, {"import"}, {"import", "a", "b"}, {"reset-counter"}, {"reset-counter", "001", "--state", ""},
	} {
		out, _, err := run(t, path, "", append(args[:1:1], append([]string{"--keys", "{keys}"}, args[1:]...)...)...)
		var coded cli.ExitCoder
		if !errors.As(err, &coded) || coded.ExitCode() != exitUsage || strings.ContainsAny(err.Error(), "\x1b\n") || out != "" {
			t.Errorf("%q: got %q, %v, want wrong usage", args, out, err)
		}
	}
	if got := read(t, path); got != testLine+"\n" {
		t.Errorf("the file changed: %q", got)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	path := written(t, testLine)
	for _, test := range []struct {
		want string
		args []string
	}{
		{"no such agent", []string{"show", "002"}},
		{"no such agent", []string{"export", "2"}},
		{"no such agent", []string{"remove", "002"}},
		{"no such agent", []string{"reset-counter", "002"}},
		{"by line 1", []string{"add", "new", "--id", "001"}},
		{"by agent 001", []string{"add", "web01"}},
		{"ossecd keygen add", []string{"list", "--keys", "{keys}.none"}},
		{"ossecd keygen add", []string{"show", "001", "--keys", "{keys}.none"}},
		{"no received counter", []string{"reset-counter", "001", "--state", filepath.Dir(path)}},
		{"--state", []string{"reset-counter", "001", "--state", "{keys}.none"}},
	} {
		_, _, err := run(t, path, "", append(test.args[:1:1], append([]string{"--keys", "{keys}"}, test.args[1:]...)...)...)
		var coded cli.ExitCoder
		if err == nil || errors.As(err, &coded) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want a plain error with %q", test.args, err, test.want)
		}
	}
}

func TestFlagsBehindArgument(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want string
		args []string
	}{
		{"001 web01 any", []string{"web01", "--keys", "{keys}"}},
		{"009 web01 10.0.0.1", []string{"--id=009", "web01", "-ip", "10.0.0.1", "--keys={keys}"}},
		{"009 web01 !10.0.0.1", []string{"web01", "-ip=!10.0.0.1", "--id", "009", "--keys", "{keys}", "--json=false"}},
		{"001 -web any", []string{"--keys", "{keys}", "--", "-web"}},
		{"001 -web any", []string{"--keys", "{keys}", "--json=false", "--", "-web"}},
		{"001 web01 any", []string{"web01", "--keys", "{keys}", "--"}},
	} {
		path := filepath.Join(t.TempDir(), "client.keys")
		if got := must(t, path, append([]string{"add"}, test.args...)...); !strings.HasPrefix(got, test.want+" ") {
			t.Errorf("%q: got %q, want %q", test.args, got, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, sub := range Command().Subcommands {
		if len(sub.Subcommands) > 0 {
			continue
		}
		for _, args := range [][]string{{sub.Name, "--help"}, {sub.Name, "x1", "-h"}} {
			out, _, err := run(t, "none", "", args...)
			if err != nil || !strings.Contains(out, "Example") || !strings.Contains(out, "ossecd keygen "+sub.Name) || !strings.Contains(out, "--json") {
				t.Errorf("%q: got %q, %v", args, out, err)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	path := written(t, testLine, "002 web/02 any 5f1d4b3a", "003 web03 any x\r")
	out, errOut, err := run(t, path, "", "list", "--keys", "{keys}")
	if err != nil || !strings.Contains(out, "003  web03") || strings.Contains(out, "002") || strings.Contains(out+errOut, "5f1d") ||
		!strings.Contains(errOut, "warning: client.keys:2: ") || !strings.Contains(errOut, "warning: client.keys:3: ") || strings.Contains(errOut, "\r") {
		t.Errorf("faults: got %q, %q, %v", out, errOut, err)
	}
	if runtime.GOOS == "windows" {
		return // has no such modes
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o440: false, 0o644: true, 0o602: true} {
		path := written(t, testLine)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"list"}, {"show", "001"}, {"add", "new"}, {"remove", "001"}} {
			_, errOut, err := run(t, path, "", append(args, "--keys", "{keys}")...)
			if err != nil || strings.Contains(errOut, "chmod o-rwx "+path) != want {
				t.Errorf("%q of mode %o: got %q, %v, want a warning: %v", args, mode, errOut, err, want)
			}
		}
	}
}

func TestResetCounter(t *testing.T) {
	t.Parallel()
	path, state := written(t, testLine), t.TempDir()
	rids := filepath.Join(state, "rids")
	if err := keys.WriteRids(rids, "001", proto.Counter{Global: 5, Local: 7}); err != nil {
		t.Fatal(err)
	}
	out, errOut, err := run(t, path, "", "reset-counter", "001", "--state", state, "--keys", "{keys}")
	if err != nil || !strings.Contains(out, "001 web01") || !strings.Contains(errOut, "captured") || !strings.Contains(errOut, "new key") {
		t.Errorf("got %q, %q, %v", out, errOut, err)
	}
	if c, ok, err := keys.ReadRids(rids, "001"); ok || err != nil {
		t.Errorf("the counter is still %v, %v", c, err)
	}
	if strings.Contains(out+errOut, "5f1d") {
		t.Error("the secret was shown")
	}
}

// failing is standard output that takes nothing.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestOutputFails(t *testing.T) {
	t.Parallel()
	path := written(t, testLine)
	for _, args := range [][]string{{"list"}, {"show", "001"}, {"show", "--json", "001"}, {"export", "001"}} {
		app := &cli.App{Name: "ossecd", Commands: []*cli.Command{Command()}, Writer: failing{}, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
		oneRun.Lock()
		err := app.RunContext(t.Context(), append([]string{"ossecd", "keygen", args[0], "--keys", path}, args[1:]...))
		oneRun.Unlock()
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%q: got %v, want %v", args, err, io.ErrClosedPipe)
		}
	}
}

// TestImportStops ends while nobody writes to standard input.
func TestImportStops(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer w.Close()
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if text, err := readText(ctx, r, keys.MaxExport); text != "" || !errors.Is(err, why) {
		t.Errorf("got %q, %v, want %v", text, err, why)
	}
}
