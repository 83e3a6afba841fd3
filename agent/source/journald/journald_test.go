package journald

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/agent/source"
)

// The test's program is also a journalctl: "fake JOURNAL ARG...". JOURNAL is a file of JSON lines; a line "die" ends it
// with a failure when it comes there for the first time, which it knows from a file JOURNAL.died.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "fake" {
		os.Exit(m.Run())
	}
	os.Exit(fake(os.Args[2], os.Args[3:]))
}

func fake(journal string, args []string) int {
	f, _ := os.OpenFile(journal+".args", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	fmt.Fprintln(f, strings.Join(args, " "))
	f.Close()
	after := ""
	for _, a := range args {
		if c, ok := strings.CutPrefix(a, "--after-cursor="); ok {
			after = c
		}
	}
	passed := after == ""
	for read := 0; ; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(journal)
		for line := range bytes.Lines(text[read:]) {
			read += len(line)
			switch {
			case string(line) == "die\n":
				if _, err := os.Stat(journal + ".died"); err != nil {
					os.WriteFile(journal+".died", nil, 0o600)
					fmt.Fprintln(os.Stderr, "fell over")
					return 1
				}
			case passed:
				os.Stdout.Write(line)
			default:
				passed = bytes.Contains(line, []byte(`"`+after+`"`))
			}
		}
		if !slices.Contains(args, "--follow") {
			return 0
		}
		if os.Getppid() == 1 {
			return 1 // nobody is there any more
		}
	}
}

// output is a source.Output that keeps what it gets; it takes limit events if that is not 0.
type output struct {
	mu     sync.Mutex
	events []string
	limit  int
	idles  int
}

func (o *output) Emit(ctx context.Context, batch []source.Event) (int, error) {
	for i, e := range batch {
		o.mu.Lock()
		full := o.limit > 0 && len(o.events) == o.limit
		if !full {
			o.events = append(o.events, fmt.Sprintf("%c:%s:%s", e.Queue, e.Location, e.Message))
		}
		o.mu.Unlock()
		if full {
			<-ctx.Done()
			return i, ctx.Err()
		}
	}
	return len(batch), nil
}

func (o *output) Idle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idles++
}

func (o *output) state() (events []string, idles int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events), o.idles
}

// rig is a journal and a source that follows it.
type rig struct {
	t       *testing.T
	journal string
	cfg     Config
	log     lockedBuffer
}

func newRig(t *testing.T) *rig {
	dir := t.TempDir()
	r := &rig{t: t, journal: filepath.Join(dir, "journal")}
	r.cfg = Config{
		State: filepath.Join(dir, "cursor.json"), MaxEvent: 6016, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Program: []string{os.Args[0], "fake", r.journal},
	}
	return r
}

// add appends entries with cursors "i=N".
func (r *rig) add(from, n int) {
	var text []byte
	for i := from; i < from+n; i++ {
		text = append(text, line(i, fmt.Sprintf("%q", "message "+strconv.Itoa(i)))...)
	}
	r.append(text)
}

func (r *rig) append(text []byte) {
	r.t.Helper()
	f, err := os.OpenFile(r.journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		r.t.Fatal(err)
	}
}

func line(i int, message string) []byte {
	return fmt.Appendf(nil, `{"__CURSOR":"i=%d","__REALTIME_TIMESTAMP":"1795407144435379","_HOSTNAME":"vm","SYSLOG_IDENTIFIER":"sshd","_PID":"12","MESSAGE":%s}`+"\n", i, message)
}

// run runs the source until it has emitted n events, or where n is 0, until it is idle and has called journalctl.
func (r *rig) run(out *output, n int) {
	r.t.Helper()
	s, err := New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	s.pace = pace{again: 10 * time.Millisecond, againMost: 50 * time.Millisecond, save: 10 * time.Millisecond}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	calls := r.calls()
	go func() { done <- s.Run(ctx, out) }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if events, idles := out.state(); len(events) >= n && (n > 0 || idles > 0 && r.calls() > calls) {
			break
		}
		if time.Now().After(end) {
			events, idles := out.state()
			r.t.Fatalf("%d events and %d times idle after 30 s; log:\n%s", len(events), idles, r.log.String())
		}
	}
	cancel()
	if err := <-done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// calls is how often journalctl was called.
func (r *rig) calls() int {
	args, _ := os.ReadFile(r.journal + ".args")
	return bytes.Count(args, []byte("\n"))
}

func (r *rig) cursor() (c cursor) {
	r.t.Helper()
	text, err := os.ReadFile(r.cfg.State)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		r.t.Errorf("state file: %v", err)
	}
	return c
}

func wantMessages(t *testing.T, events []string, from, n int) {
	t.Helper()
	if len(events) != n {
		t.Fatalf("%d events, want %d", len(events), n)
	}
	for i, e := range events {
		if want := fmt.Sprintf(": message %d", from+i); !strings.HasSuffix(e, want) {
			t.Fatalf("event %d is %q, want it to end in %q", i, e, want)
		}
	}
}

// After a restart the source goes on behind what was sent, not behind what was read.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.FromStart = true
	r.add(1, 500)
	first := &output{limit: 137}
	r.run(first, 137)
	wantMessages(t, first.events, 1, 137)
	if c := r.cursor(); c.Cursor != "i=137" {
		t.Errorf("the cursor is %+v, want that of entry 137", c)
	}
	r.add(501, 10)
	second := &output{}
	r.run(second, 373)
	wantMessages(t, second.events, 138, 373)
}

func TestDiesAndGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.FromStart = true
	r.add(1, 10)
	r.append([]byte("die\n"))
	r.add(11, 10)
	out := &output{}
	r.run(out, 20)
	wantMessages(t, out.events, 1, 20)
	if log := r.log.String(); !strings.Contains(log, "fell over") || !strings.Contains(log, "run again") {
		t.Errorf("log: %s", log)
	}
}

// With nothing saved, the time of the first start is where reading begins, also after a restart.
func TestBeginsNow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := time.Now().Unix()
	r.run(&output{}, 0)
	since := r.cursor().Since
	if n, err := strconv.ParseInt(since, 10, 64); err != nil || n < before || n > time.Now().Unix() {
		t.Errorf("begins at %q, want now", since)
	}
	r.run(&output{}, 0)
	if got := r.cursor().Since; got != since {
		t.Errorf("a restart moved the beginning from %s to %s", since, got)
	}
	args, _ := os.ReadFile(r.journal + ".args")
	if strings.Count(string(args), "--since=@"+since) == 0 {
		t.Errorf("journalctl was called with %s", args)
	}
}

func TestFinish(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.FromStart, r.cfg.Finish = true, true
	r.add(1, 3)
	r.append([]byte("-- No entries --\n"))
	out := &output{}
	r.run(out, 0)
	wantMessages(t, out.events, 1, 3)
	if log := r.log.String(); log != "" {
		t.Errorf("logged %s", log)
	}
}

// What is no entry is left out, and said once.
func TestGarbage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.FromStart = true
	r.append([]byte("garbage\n{}\n[1]\n{\"__CURSOR\":\"a b\"}\n{\"__CURSOR\":\"i=9\",\"MESSAGE\":7}\n\n"))
	r.append(bytes.Repeat([]byte("x"), maxLine+5))
	r.append([]byte("\n"))
	r.append(line(0, "null"))
	r.add(1, 1)
	out := &output{}
	r.run(out, 1)
	wantMessages(t, out.events, 1, 1)
	if log := r.log.String(); strings.Count(log, "left out") != 1 {
		t.Errorf("log: %.2000s", log)
	}
}

func TestBadState(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "cut": `{"cursor":"s=`, "option": `{"cursor":"a b --file=/etc/passwd"}`, "since": `{"since":"yesterday"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if err := os.WriteFile(r.cfg.State, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r.run(&output{}, 0)
			if log := r.log.String(); !strings.Contains(log, "the position in the journal was lost") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestNoJournalctl(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Program = []string{"no-such-journalctl"}
	s, err := New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &output{}); err == nil || !strings.Contains(err.Error(), "it comes with systemd") {
		t.Errorf("Run: %v, want the remedy", err)
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Units: []string{"ssh.service", "-x"}, Identifiers: []string{"su do"}, Priority: "crit..err", State: "x", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	got := s.args(cursor{Cursor: "i=1"})
	want := []string{
		"--output=json", "--all", "--no-pager", "--no-tail", "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_COMM,_PID,_HOSTNAME",
		"--follow", "--after-cursor=i=1", "--unit=ssh.service", "--unit=-x", "--identifier=su do", "--priority=crit..err",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cfg  Config
		want string
	}{
		{Config{}, "state: "},
		{Config{Priority: "bad"}, `priority: "bad"`},
		{Config{Priority: "err.."}, `priority: "err.."`},
		{Config{Priority: "err crit"}, `priority: "err crit"`},
		{Config{Units: []string{""}}, "units: "},
		{Config{Units: make([]string, 101)}, "units: 101 names"},
		{Config{Identifiers: []string{"a\nb"}}, `identifiers: "a\nb"`},
	}
	for _, tt := range tests {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q in it", tt.cfg, err, tt.want)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
