package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/agent/source"
)

// The test's program is also the command under test: "helper ACTION ARG".
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "helper" {
		os.Exit(m.Run())
	}
	switch os.Args[2] {
	case "print":
		fmt.Print(strings.ReplaceAll(os.Args[3], "␀", "\x00")) // which no argument can hold
	case "fail":
		fmt.Print(os.Args[3])
		fmt.Fprint(os.Stderr, "no such disk\x1b[2J\n")
		os.Exit(3)
	case "hang": // with a child that holds the output, too
		child := exec.Command(os.Args[0], "helper", "sleep", os.Args[3])
		child.Stdout = os.Stdout
		child.Start()
		fmt.Println("before")
		time.Sleep(time.Hour)
	case "leave": // ends, and leaves a child with the output
		child := exec.Command(os.Args[0], "helper", "sleep", os.Args[3])
		child.Stdout = os.Stdout
		child.Start()
		fmt.Println("left")
	case "sleep": // grows a file as a sign of life
		for i := range 1000 {
			os.WriteFile(os.Args[3], make([]byte, i), 0o600)
			time.Sleep(10 * time.Millisecond)
		}
	case "zeros":
		for range 100 {
			os.Stdout.Write(bytes.Repeat([]byte("0123456\n"), 1<<13))
		}
	}
	os.Exit(0)
}

func helper(args ...string) []string { return append([]string{os.Args[0], "helper"}, args...) }

// output is a source.Output that keeps what it gets.
type output struct {
	mu     sync.Mutex
	events []string // QUEUE:LOCATION:MESSAGE
	idles  int
	change chan struct{}
}

func newOutput() *output { return &output{change: make(chan struct{}, 100)} }

func (o *output) Emit(ctx context.Context, batch []source.Event) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range batch {
		o.events = append(o.events, fmt.Sprintf("%c:%s:%s", e.Queue, e.Location, e.Message))
	}
	return len(batch), ctx.Err()
}

func (o *output) Idle() {
	o.mu.Lock()
	o.idles++
	o.mu.Unlock()
	o.change <- struct{}{}
}

// config is a good configuration.
func config(argv []string, log io.Writer) Config {
	return Config{Command: argv, Alias: "cmd", MaxEvent: 6016, Finish: true, Log: slog.New(slog.NewTextHandler(log, nil))}
}

// once runs a command to its first idleness and returns its events and the log.
func once(t *testing.T, cfg Config) ([]string, string) {
	t.Helper()
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out := newOutput()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	<-out.change
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	return out.events, log.String()
}

func TestEvents(t *testing.T) {
	t.Parallel()
	// What the stock collector made of the same output, with the exceptions that are named.
	tests := []struct {
		name, print string
		whole       bool
		want        []string
	}{
		{"lines", "one\n\n  two \ntab\tx\r\nlast no nl", false,
			[]string{": one", ": ", ":   two ", ": tab\tx", ": last no nl"}}, // stock keeps the carriage return
		{"lines of Windows", "\ufeffa\r\nb\rc\r\r\n\r\nd\r", false, []string{": a", ": b\rc\r", ": ", ": d\r"}},
		{"lines in UTF-16", "\xff\xfea␀\r␀\n␀\xf6␀\n␀", false, []string{": a", ": ö"}},
		{"a mark alone", "\ufeff", false, nil},
		{"whole, marked", "\ufeffa\r\nb\r\n", true, []string{":\na\nb"}},
		{"whole, a mark alone", "\ufeff", true, nil},
		{"no output", "", false, nil},
		{"whole", "a\nb\n", true, []string{":\na\nb"}},
		{"whole, empty lines", "\none\n\n  two \nend\n\n", true, []string{":\none\n  two \nend\n"}},
		{"whole, carriage returns", "x\ry\r\r\n\r\nz\r\n", true, []string{":\nx\ry\r\nz"}}, // stock drops all of them
		{"whole, a carriage return alone", "x\r", true, []string{":\nx\r"}},
		{"whole, a line end of Windows alone", "\r\n", true, nil},
		{"whole, blanks", "x\r\n   \n\t\ny\n", true, []string{":\nx\n   \n\t\ny"}},
		{"whole, no output", "", true, nil},
		{"whole, newlines alone", "\n\n\n", true, nil},
		{"whole, no newline", "a\nb", true, []string{":\na\nb"}}, // stock loses the b
		{"colons", "a:b\n", false, []string{": a:b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(helper("print", tt.print), nil)
			cfg.Whole, cfg.Alias = tt.whole, "ali:as"
			got, log := once(t, cfg)
			for i, text := range tt.want {
				tt.want[i] = `1:ali\as:ossec: output: 'ali\as'` + text
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if log != "" {
				t.Errorf("logged %s", log)
			}
		})
	}
}

func TestLongOutput(t *testing.T) {
	t.Parallel()
	cfg := config(helper("print", strings.Repeat("y", 9000)+"\nafter\n"), nil)
	got, _ := once(t, cfg)
	if len(got) != 3 || len(got[0]) != 6016 || got[2] != "1:cmd:ossec: output: 'cmd': after" {
		t.Errorf("%d events, the first of %d bytes, the last %.100q; want 3, 6016, and the line after", len(got), len(got[0]), got[len(got)-1])
	}
	if joined := strings.ReplaceAll(strings.Join(got[:2], ""), "1:cmd:ossec: output: 'cmd': ", ""); joined != strings.Repeat("y", 9000) {
		t.Errorf("the line lost something: %d bytes", len(joined))
	}

	cfg = config(helper("print", strings.Repeat("0123456\n", 1000)), nil)
	cfg.Whole = true
	got, log := once(t, cfg)
	if len(got) != 1 || len(got[0]) > 6016 || len(got[0]) < 6016-8 || !strings.HasSuffix(got[0], "\n0123456") {
		t.Errorf("got %d events, the first of %d bytes; want one cut after its last line that fits 6016", len(got), len(got[0]))
	}
	if !strings.Contains(log, "the output of a command was cut") {
		t.Errorf("nothing is said about the cut: %s", log)
	}

	cfg = config(helper("zeros"), nil)
	cfg.MaxOutput = 80
	got, log = once(t, cfg)
	if len(got) != 10 || !strings.Contains(log, "max_output, 80 bytes") {
		t.Errorf("%d lines, want 10 of 80 bytes; log %s", len(got), log)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	got, log := once(t, config(helper("fail", "partial\n"), nil))
	if len(got) != 1 || !strings.Contains(log, "exit status 3") || !strings.Contains(log, "no such disk") || strings.Contains(log, "\x1b") {
		t.Errorf("events %q, log %q; want the output, and in the log the code and the text without control characters", got, log)
	}
	got, log = once(t, config([]string{"/no/such/program"}, nil))
	if len(got) != 0 || !strings.Contains(log, "a command failed") {
		t.Errorf("events %q, log %q", got, log)
	}
}

func TestTimeoutKillsAll(t *testing.T) {
	t.Parallel()
	mark := t.TempDir() + "/mark"
	cfg := config(helper("hang", mark), nil)
	cfg.Timeout = 500 * time.Millisecond
	start := time.Now()
	got, log := once(t, cfg)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if len(got) != 0 || !strings.Contains(log, ErrTimeout.Error()) {
		t.Errorf("events %q, log %s", got, log)
	}
	wantDead(t, mark)
}

func TestChildLeftBehind(t *testing.T) {
	t.Parallel()
	mark := t.TempDir() + "/mark"
	start := time.Now()
	got, log := once(t, config(helper("leave", mark), nil))
	if took := time.Since(start); took > 4900*time.Millisecond {
		t.Errorf("waited %v for the child", took)
	}
	if len(got) != 1 || !strings.Contains(log, "left a process behind") {
		t.Errorf("events %q, log %s", got, log)
	}
	wantDead(t, mark)
}

// wantDead fails the test where the child still lives that grows a file.
func wantDead(t *testing.T, mark string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // knows no process groups
	}
	before, _ := os.ReadFile(mark)
	time.Sleep(200 * time.Millisecond)
	if after, _ := os.ReadFile(mark); len(after) > len(before) {
		t.Errorf("the child still lives: its file grew from %d to %d bytes", len(before), len(after))
	}
}

// The context's end kills what runs.
func TestStop(t *testing.T) {
	t.Parallel()
	s, err := New(config(helper("hang", t.TempDir()+"/mark"), io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Run(ctx, newOutput()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestInterval(t *testing.T) {
	t.Parallel()
	cfg := config(helper("print", "x\n"), io.Discard)
	cfg.Finish, cfg.Interval = false, time.Second
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out := newOutput()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- s.Run(ctx, out) }()
	<-out.change
	<-out.change
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("the second run ended after %v, want about 1 s", took)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"nothing", Config{}, "command: none given"},
		{"empty program", Config{Command: []string{""}}, "command: none given"},
		{"both", Config{Command: []string{"df"}, Shell: "df"}, "shell: cannot stand beside command"},
		{"short interval", Config{Command: []string{"df"}, Interval: time.Millisecond}, "interval: 1ms"},
		{"long timeout", Config{Command: []string{"df"}, Timeout: 25 * time.Hour}, "timeout: 25h"},
		{"output", Config{Command: []string{"df"}, MaxOutput: 1 << 30}, "max_output: 1073741824"},
		{"NUL", Config{Command: []string{"df", "a\x00b"}}, "NUL byte"},
		{"newline", Config{Command: []string{"echo", "a\nb"}}, "alias: "},
		{"long", Config{Command: []string{"echo", strings.Repeat("x", 2000)}}, "alias: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
	s, err := New(Config{Command: []string{"/no/such/program"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "install it") {
		t.Errorf("Check: %v, want the remedy", err)
	}
}
