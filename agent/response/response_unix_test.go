//go:build unix

package response

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/agent/source"
	"ossecd/keys/testprogram"
)

// reports gathers events.
type reports struct {
	mu   sync.Mutex
	text []string
	more chan struct{}
}

func (r *reports) Idle() {}

func (r *reports) Emit(_ context.Context, batch []source.Event) (int, error) {
	r.mu.Lock()
	for _, e := range batch {
		r.text = append(r.text, string(e.Queue)+":"+e.Location+":"+string(e.Message))
	}
	r.mu.Unlock()
	r.more <- struct{}{}
	return len(batch), nil
}

type rig struct {
	*Source
	t   *testing.T
	out *reports
	log *strings.Builder
	dir string
	end func()
}

// newRig starts a source with these programs, whose text begins behind a shell's #! line. $OUT is a file to write to.
func newRig(t *testing.T, dir string, programs map[string]string) *rig {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var allow []string
	for name, text := range programs {
		allow = append(allow, name)
		text = "#!/bin/sh\nOUT=" + filepath.Join(dir, "out") + "\n" + text
		testprogram.Write(t, filepath.Join(dir, name), text)
	}
	r := &rig{t: t, out: &reports{more: make(chan struct{}, 100)}, log: new(strings.Builder), dir: dir}
	var mu sync.Mutex
	s, err := New(Config{Dir: dir, Allow: allow, State: filepath.Join(dir, "state.json"), Log: slog.New(slog.NewTextHandler(locked{&mu, r.log}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r.Source = s
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, r.out) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.end)
	return r
}

type locked struct {
	mu *sync.Mutex
	b  *strings.Builder
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// reported waits for the next event, and checks that it ends so.
func (r *rig) reported(want string) {
	r.t.Helper()
	select {
	case <-r.out.more:
	case <-time.After(20 * time.Second):
		r.t.Fatalf("nothing is reported; want %q; log:\n%s", want, r.log)
	}
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	got := r.out.text[0]
	r.out.text = r.out.text[1:]
	if !strings.HasPrefix(got, "1:active-responses.log:") || !strings.HasSuffix(got, want) {
		r.t.Errorf("reported %q, want …%q", got, want)
	}
}

func (r *rig) wrote(want string) {
	r.t.Helper()
	if got, _ := os.ReadFile(filepath.Join(r.dir, "out")); string(got) != want {
		r.t.Errorf("the programs wrote %q, want %q", got, want)
	}
}

// A program gets its action and arguments, is undone in time, and not done twice meanwhile.
func TestArguments(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), map[string]string{"deny.sh": `echo "$@" >>$OUT`})
	path := filepath.Join(r.dir, "deny.sh")
	r.Order([]byte("deny1 - 10.9.8.7 (from_the_server) (no_rule_id)"))
	r.reported(path + " add - 10.9.8.7 (from_the_server) (no_rule_id)")
	r.Order([]byte("deny3600 - 10.9.8.8 1.2 3"))
	r.reported(path + " add - 10.9.8.8 1.2 3")
	r.Order([]byte("deny3600 - 10.9.8.8 1.3 3")) // in force
	r.reported(path + " delete - 10.9.8.7 (from_the_server) (no_rule_id)")
	r.Order([]byte("deny0 - 10.9.8.9 1.4 3")) // for good
	r.reported(path + " add - 10.9.8.9 1.4 3")
	r.end() // undoes the rest
	r.reported(path + " delete - 10.9.8.8 1.2 3")
	r.wrote("add - 10.9.8.7 (from_the_server) (no_rule_id)\nadd - 10.9.8.8 1.2 3\ndelete - 10.9.8.7 (from_the_server) (no_rule_id)\nadd - 10.9.8.9 1.4 3\ndelete - 10.9.8.8 1.2 3\n")
	if _, err := os.Stat(r.cfg.State); !os.IsNotExist(err) {
		t.Errorf("something is left to undo: %v", err)
	}
}

// What was in force when the process was killed is undone at the next start.
func TestUndoneAfterAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	programs := map[string]string{"deny": `echo "$@" >>$OUT`}
	r := newRig(t, dir, programs)
	r.Order([]byte("deny3600 - 10.9.8.7"))
	r.reported(" add - 10.9.8.7")
	state, err := os.ReadFile(r.cfg.State)
	if err != nil {
		t.Fatal(err)
	}
	r.end()
	if err := os.Remove(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.cfg.State, state, 0o600); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, dir, programs)
	r.reported(" delete - 10.9.8.7")
	r.wrote("delete - 10.9.8.7\n")
}

const orderJSON = `{"version":1,"origin":{"name":"node01","module":"wazuh-execd"},"command":"NAME","parameters":{"extra_args":[],"alert":{"data":{"srcip":"10.0.0.1"}}}}`

// Wazuh's form: a line of JSON, a question, an answer.
func TestJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), map[string]string{
		"drop": `read line
echo "$line" >>$OUT
case "$line" in *'"command":"add"'*)
	echo '{"version":1,"origin":{"name":"drop","module":"active-response"},"command":"check_keys","parameters":{"keys":["10.0.0.1"]}}'
	read answer
	case "$answer" in *continue*) echo went on >>$OUT;; *abort*) echo stopped >>$OUT; exit 0;; esac
esac`,
		"once": `read line; echo once >>$OUT`,
	})
	r.Order([]byte(strings.Replace(orderJSON, "NAME", "drop600", 1)))
	r.reported("drop add 10.0.0.1")
	r.Order([]byte(strings.Replace(orderJSON, "NAME", "drop600", 1)))
	r.Order([]byte(strings.Replace(orderJSON, "NAME", "!once", 1)))
	r.reported("once add")
	r.end()
	r.reported("drop delete 10.0.0.1")
	said := func(action string) string {
		return `{"command":"` + action + `","origin":{"name":"ossecd","module":"ossecd"},"parameters":{"alert":{"data":{"srcip":"10.0.0.1"}},"extra_args":[],"program":"` + filepath.Join(r.dir, "drop") + `"},"version":1}` + "\n"
	}
	r.wrote(said("add") + "went on\n" + said("add") + "stopped\nonce\n" + said("delete"))
}

// What fails is reported as failed, and has nothing to undo.
func TestFailures(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), map[string]string{"fails": `echo no iptables >&2; exit 3`, "silent": `exec >&-; exec <&-; exit 0`})
	r.Order([]byte("fails600 - 10.0.0.1"))
	r.reported(`fails add - 10.0.0.1 (failed: exit status 3: "no iptables")`)
	r.Order([]byte(strings.Replace(orderJSON, "NAME", "silent", 1)))
	r.reported("silent add")
	r.end()
	if len(r.out.text) != 0 {
		t.Errorf("undone: %q", r.out.text)
	}
}

// A program that hangs is killed, and so is what it started.
func TestHanging(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hangs")
	testprogram.Write(t, path, "#!/bin/sh\nsleep 1000 & sleep 1000\n")
	for name, run := range map[string]func(ctx context.Context) error{
		"arguments": func(ctx context.Context) error { return execArgs(ctx, path, nil) },
		"JSON":      func(ctx context.Context) error { _, err := execJSON(ctx, path, "add", nil, nil); return err },
	} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errTimeout)
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "took too long") {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it hangs on", name)
		}
		cancel()
	}
}

// Only regular files in the directory, which nobody else may change, are programs.
func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	for name, mode := range map[string]os.FileMode{"good": 0o755, "group": 0o775, "world": 0o757, "plain": 0o644} {
		must(os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o600))
		must(os.Chmod(filepath.Join(dir, name), mode))
	}
	must(os.Mkdir(filepath.Join(dir, "directory"), 0o755))
	must(os.Symlink(filepath.Join(dir, "good"), filepath.Join(dir, "link")))
	for _, name := range []string{"group", "world", "plain", "directory", "link", "missing"} {
		if path, err := find(dir, name); err == nil {
			t.Errorf("%s: %s", name, path)
		}
	}
	if path, err := find(dir, "good"); err != nil || path != filepath.Join(dir, "good") {
		t.Errorf("good: %s, %v", path, err)
	}
	must(os.Chmod(dir, 0o777))
	if _, err := find(dir, "good"); err == nil {
		t.Error("a directory that all may change")
	}
	must(os.Chmod(dir, 0o755))
	if os.Geteuid() == 0 { // only the superuser can give files away
		for _, path := range []string{filepath.Join(dir, "good"), dir} {
			must(os.Chown(path, 4711, -1))
			if _, err := find(dir, "good"); err == nil || !strings.Contains(err.Error(), "chown") {
				t.Errorf("%s of another user: %v", path, err)
			}
			must(os.Chown(path, 0, -1))
		}
	}
	info, err := os.Stat(dir)
	must(err)
	for uid, want := range map[int]bool{os.Geteuid(): true, os.Geteuid() + 1: os.Geteuid() == 0} { // what root has is everybody's
		if got := trusted(info, uid); got != want {
			t.Errorf("trusted by user %d: %v", uid, got)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), map[string]string{"good": `echo good >>$OUT`})
	for _, text := range []string{"bad - -", "../good - -", "/bin/sh - -", "good -x -", "", "{}"} {
		r.Order([]byte(text))
	}
	r.Order([]byte("good - -"))
	r.reported("good add - -")
	r.end()
	r.wrote("good\n")
	if n := strings.Count(r.log.String(), "was refused"); n != 1 {
		t.Errorf("%d lines about it:\n%s", n, r.log)
	}
	for _, cfg := range []Config{{Dir: "relative", Allow: []string{"a"}}, {Dir: "/d"}, {Dir: "/d", Allow: []string{"a/b"}}, {Dir: "/d", Allow: []string{".."}}, {Dir: "/d", Allow: []string{""}}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
