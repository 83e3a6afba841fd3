package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/manager/sink"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	from  = netip.MustParseAddrPort("10.0.0.7:40112")
	web   = sink.NewAgent("001", "web01", "10.0.0.0/8")
	at    = time.Date(2026, 11, 22, 15, 24, 33, 0, time.Local)
)

// batch is one of events with these messages.
func batch(messages ...string) sink.Batch {
	var l sink.Lot
	for i, m := range messages {
		l.Event(web, at, uint64(i+1), from, '1', []byte("/var/log/x"), []byte(m))
	}
	return l.Events()
}

func open(t *testing.T, o Options) *File {
	t.Helper()
	f, err := Open(t.Context(), o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, s sink.Sink, messages ...string) {
	t.Helper()
	if r, err := s.Write(t.Context(), batch(messages...)); err != nil || r.Done != len(messages) {
		t.Errorf("%d of %d, %v", r.Done, len(messages), err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files are the names in a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestArchives(t *testing.T) {
	t.Parallel()
	var l sink.Lot
	l.Event(web, at, 1, from, '1', []byte("/var/log/auth.log"), []byte("Nov 22 web01 sshd[123]: Failed"))
	l.Event(web, at, 2, from, '1', []byte("a\nb"), []byte("2026 Nov 22\r\n2026 forged\t\x1b[31m\x00\u009b é\xff\x9b"))
	l.Report(nil, nil, at, "ossecd: 3 events lost.", sink.Report{Action: sink.Lost, Number: 3})
	var buf bytes.Buffer
	s := NewStream(&buf, true)
	if r, err := s.Write(t.Context(), l.Events()); err != nil || r.Done != 3 {
		t.Fatal(r, err)
	}
	want := `2026 Nov 22 15:24:33 (web01) 10.0.0.0->/var/log/auth.log Nov 22 web01 sshd[123]: Failed
2026 Nov 22 15:24:33 (web01) 10.0.0.0->a\nb 2026 Nov 22\r\n2026 forged	\x1b[31m\x00\u009b é` + "\xff\x9b" + `
2026 Nov 22 15:24:33 ossecd ossecd: 3 events lost.
`
	if buf.String() != want {
		t.Errorf("got\n%q\nwant\n%q", buf.String(), want)
	}
}

// halting takes some bytes and then fails, once for each of the numbers.
type halting struct {
	bytes.Buffer
	takes []int
}

var errFull = errors.New("no space left on device")

func (h *halting) Write(p []byte) (int, error) {
	if len(h.takes) == 0 {
		return h.Buffer.Write(p)
	}
	n := min(h.takes[0], len(p))
	h.takes = h.takes[1:]
	h.Buffer.Write(p[:n])
	return n, errFull
}

// Wherever a write stops, the next one goes on in the middle of the line, and what is done is counted by whole lines.
func TestAWriteIsTakenUpWhereItStopped(t *testing.T) {
	t.Parallel()
	messages := []string{"one", "two", "three"}
	var whole bytes.Buffer
	write(t, NewStream(&whole, true), messages...)
	for first := range whole.Len() {
		h := &halting{takes: []int{first, 1, 0}}
		s := NewStream(h, true)
		done := 0
		for range 4 {
			r, err := s.Write(t.Context(), batch(messages[done:]...))
			done += r.Done
			if got := strings.Count(h.String(), "\n"); got != done {
				t.Errorf("stopped at %d: %d lines written, %d counted", first, got, done)
			}
			if err == nil {
				break
			}
		}
		if h.String() != whole.String() || done != 3 {
			t.Errorf("stopped at %d: %d done, written\n%s", first, done, h.String())
		}
	}
}

func TestFilesAreSetAsideBySize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "events.json")
	line := strings.Repeat("x", 300)
	f := open(t, Options{Path: path, MaxSize: 1500, Keep: 3})
	for i := range 30 {
		write(t, f, fmt.Sprintf("%02d%s", i, line))
	}
	for len(files(t, dir)) != 4 {
		time.Sleep(time.Millisecond)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	all := ""
	names := files(t, dir)
	for _, n := range append(names[1:], names[0]) { // the oldest first, the present one last
		text := read(t, filepath.Join(dir, n))
		if len(text) > 1500 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%s has %d bytes", n, len(text))
		}
		all += text
	}
	n := strings.Count(all, "\n")
	for i := range n {
		if !strings.Contains(all, fmt.Sprintf(`"full_log":"%02dx`, 30-n+i)) {
			t.Errorf("the last %d are not all there", n)
		}
	}
	if n < 10 {
		t.Errorf("only %d events are kept", n)
	}
}

func TestFilesAreSetAsideDaily(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "events.log")
	if err := os.WriteFile(path, []byte("of yesterday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(path, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	f := open(t, Options{Path: path, Archives: true, Daily: true})
	write(t, f, "one")
	f.day = "2000-01-01"
	write(t, f, "two")
	write(t, f, "three")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	names := files(t, dir)
	if len(names) != 3 || read(t, filepath.Join(dir, names[1])) != "of yesterday\n" || strings.Count(read(t, path), "\n") != 2 {
		t.Errorf("files %q, now %q", names, read(t, path))
	}
}

// A line that was begun is ended in the same file, whatever is due.
func TestNoLineIsTornApart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.log")
	f := open(t, Options{Path: path, Archives: true, Daily: true})
	write(t, f, "one")
	f.lines.begun = len("2026 Nov")
	if _, err := f.f.WriteString("2026 Nov"); err != nil {
		t.Fatal(err)
	}
	f.day = "2000-01-01"
	write(t, f, "two")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, path); !strings.HasSuffix(got, "one\n2026 Nov 22 15:24:33 (web01) 10.0.0.0->/var/log/x two\n") {
		t.Errorf("written %q", got)
	}
}

// What a full disk and a kill left of a line stands alone: the next event is a whole line.
func TestATornLineIsEnded(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Archives: true}, {Archives: true, MaxSize: 1 << 20}} {
		o.Path = filepath.Join(t.TempDir(), "events.log")
		if err := os.WriteFile(o.Path, []byte("2026 Nov 22 15:2"), 0o640); err != nil {
			t.Fatal(err)
		}
		f := open(t, o)
		write(t, f, "one")
		write(t, f, "two")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		line := "\n2026 Nov 22 15:24:33 (web01) 10.0.0.0->/var/log/x "
		if got, want := read(t, o.Path), "2026 Nov 22 15:2"+line+"one"+line+"two\n"; got != want {
			t.Errorf("written %q, want %q", got, want)
		}
		f = open(t, o)
		write(t, f, "three")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got := read(t, o.Path); !strings.HasSuffix(got, "two"+line+"three\n") {
			t.Errorf("written %q", got)
		}
	}
	var whole bytes.Buffer
	write(t, NewStream(&whole, true), "one", "two")
	for first := range 1 + whole.Len() {
		h := &halting{takes: []int{first, 0}}
		s := NewStream(h, true)
		s.lines.torn = true
		done := 0
		for done < 2 {
			r, _ := s.Write(t.Context(), batch([]string{"one", "two"}[done:]...))
			done += r.Done
		}
		if got, want := h.String(), "\n"+whole.String(); got != want {
			t.Errorf("stopped at %d: written %q, want %q", first, got, want)
		}
	}
}

func TestTidyCompressesAndKeeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "e.json")
	text := strings.Repeat("a line of an event\n", 10_000)
	for name, content := range map[string]string{
		"e.json.20260101T000000.000Z.gz": "old", "e.json.20260102T000000.000Z": "old",
		"e.json.20260103T000000.000Z": text, "e.json.20260104T000000.000Z": text, "e.json.20260104T000000.000Z.gz.part": "half",
		"e.json.bak": "not ours", "e.json.20260102T000000.000Z.txt": "not ours", "f.json.20260102T000000.000Z": "not ours",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	tidy := &tidy{o: Options{Path: path, Keep: 2, Compress: true}, log: quiet}
	if err := tidy.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"e.json.20260102T000000.000Z.txt", "e.json.20260103T000000.000Z.gz", "e.json.20260104T000000.000Z.gz", "e.json.bak", "f.json.20260102T000000.000Z"}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Fatalf("left are %q", got)
	}
	z, err := gzip.NewReader(strings.NewReader(read(t, filepath.Join(dir, want[1]))))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != text {
		t.Errorf("%d bytes of %d, %v", len(b), len(text), err)
	}
}

// Files that were set aside are removed when they are too old, whether or not another is set aside.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"e.json.19991129T000000.000Z", "e.json.19991230T120000.000Z.gz", "e.json.20000101T000000.000Z", "f.json.19991129T000000.000Z"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		f := open(t, Options{Path: filepath.Join(dir, "e.json"), Daily: true, MaxAge: 30 * 24 * time.Hour})
		for _, step := range []struct {
			wait time.Duration
			want []string
		}{
			{time.Second, []string{"e.json", "e.json.19991230T120000.000Z.gz", "e.json.20000101T000000.000Z", "f.json.19991129T000000.000Z"}},
			{29 * 24 * time.Hour, []string{"e.json", "e.json.20000101T000000.000Z", "f.json.19991129T000000.000Z"}},
			{2 * 24 * time.Hour, []string{"e.json", "f.json.19991129T000000.000Z"}},
		} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := files(t, dir); !slices.Equal(got, step.want) {
				t.Errorf("at %v left are %q, want %q", time.Now().UTC(), got, step.want)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A stop in the middle leaves what was to be compressed as it was.
func TestCompressingCanBeStopped(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "e.json.20260103T000000.000Z")
	if err := os.WriteFile(name, []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := compress(ctx, name); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := files(t, filepath.Dir(name)); len(got) != 1 || read(t, name) != "text" {
		t.Errorf("left are %q", got)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "events.log")
	f := open(t, Options{Path: path, Archives: true})
	write(t, f, "one")
	if err := f.Reopen(); err != nil { // nothing was renamed
		t.Error(err)
	}
	write(t, f, "two")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Skip("files that are open cannot be renamed here:", err)
	}
	write(t, f, "three")
	if err := f.Reopen(); err != nil {
		t.Error(err)
	}
	write(t, f, "four")
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if old, now := read(t, path+".1"), read(t, path); strings.Count(old, "\n") != 3 || strings.Count(now, "\n") != 1 || !strings.HasSuffix(now, " four\n") {
		t.Errorf("in the old file %q, in the new one %q", old, now)
	}
}

// A file that was renamed, removed or replaced while nobody sent a signal is followed to its name: nothing goes into a file without
// one, nothing is written twice, and events wait where no new file can be made.
func TestFollowsItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		dir := filepath.Join(root, "logs")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "events.log")
		f := open(t, Options{Path: path, Archives: true})
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		write(t, f, "one")
		must(os.Rename(path, path+".1"))
		time.Sleep(lookEvery)
		write(t, f, "two")
		must(os.Remove(path))
		time.Sleep(lookEvery)
		write(t, f, "three")
		must(os.Remove(path))
		must(os.WriteFile(path, []byte("made by another program\n"), 0o644))
		time.Sleep(lookEvery)
		write(t, f, "four")
		must(os.RemoveAll(dir))
		time.Sleep(lookEvery)
		b := batch("five")
		for range 3 {
			if r, err := f.Write(t.Context(), b); err == nil || r.Done != 0 || !strings.Contains(err.Error(), "events wait") {
				t.Errorf("without a directory: %+v, %v", r, err)
			}
		}
		must(os.Mkdir(dir, 0o755))
		write(t, f, "five")
		if got := read(t, path); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, " five\n") {
			t.Errorf("at last the file has %q", got)
		}
		must(f.Close())
	})
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take is what was logged since the last call.
func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// With nothing to write it is noticed within seconds, too, and told; where no new file can be made, once a minute.
func TestFollowsItsNameWhileIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "logs")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "events.log")
		log := new(logBuffer)
		f, err := Open(t.Context(), Options{Path: path, Archives: true}, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		write(t, f, "one")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, log := read(t, path), log.take(); got != "" || !strings.Contains(log, "renamed or removed; a new one is written") {
			t.Errorf("the new file has %q; log %s", got, log)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if got := log.take(); strings.Count(got, "has no name any more") != 2 {
			t.Errorf("in 90 seconds it is not told twice; log %s", got)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		write(t, f, "two")
		if got := read(t, path); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, " two\n") {
			t.Errorf("at last the file has %q", got)
		}
	})
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "none", "x")}, quiet); err == nil || !strings.Contains(err.Error(), "directory that exists") {
		t.Error(err)
	}
}

func TestNamesOfFilesSetAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "e")
		for i, want := range []string{".20000101T000000.000Z", ".20000101T000000.001Z", ".20000101T000000.002Z"} {
			got, _, err := asideName(path, time.Now())
			if err != nil || got != path+want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
			if i == 0 {
				got += ".gz" // is taken, too
			}
			if err := os.WriteFile(got, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}
