package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// records are numbered texts.
func records(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, text(i))
	}
	return list
}

func text(i int) string { return fmt.Sprintf("event %d %s", i, strings.Repeat("x", 13+i%50)) }

// single is a queue with its only reader.
type single struct {
	*Queue
	*Reader
}

// put appends records.
func (s single) put(list []string) (int, error) {
	return s.Append(len(list), func(b []byte, i int) []byte { return append(b, list[i]...) })
}

func mustOpen(t testing.TB, cfg Config) single {
	t.Helper()
	if cfg.Limit == 0 {
		cfg.Limit = MinLimit
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return single{s, s.Reader(0)}
}

func mustAppend(t testing.TB, s single, list []string) {
	t.Helper()
	if n, err := s.put(list); err != nil || n != len(list) {
		t.Fatalf("%d appended, %v", n, err)
	}
}

// expect reads records from and to, and no more where all.
func expect(t testing.TB, s single, from, to int, all bool) {
	t.Helper()
	for i := from; i <= to; i++ {
		if r, ok := s.Next(); !ok || string(r) != text(i) {
			t.Fatalf("record %d: %.300q, %v", i, r, ok)
		}
	}
	if !all {
		return
	}
	if r, ok := s.Next(); ok {
		t.Fatalf("after record %d: %q", to, r)
	}
}

func TestInOrderOverRestarts(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "spool")}
	s := mustOpen(t, cfg)
	mustAppend(t, s, records(1, 100))
	expect(t, s, 1, 60, false)
	s.Commit(s.Read())
	expect(t, s, 61, 70, false)
	s.Rewind()
	expect(t, s, 61, 100, true)
	for range 3 { // as after a kill: nothing is closed in order
		s = mustOpen(t, cfg)
		expect(t, s, 61, 100, true)
	}
	mustAppend(t, s, records(101, 200))
	expect(t, s, 101, 200, true)
	if n := s.Uncommitted(); n != 140 {
		t.Errorf("%d not committed", n)
	}
	s.Commit(s.Read())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, cfg)
	expect(t, s, 201, 200, true)
	mustAppend(t, s, records(201, 201))
	expect(t, s, 201, 201, true)
}

// Segments come and go, and what is delivered takes no room.
func TestSegments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	files := func() (n int) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) - 1
	}
	next := 1
	for range 50 {
		mustAppend(t, s, records(next, next+999))
		expect(t, s, next, next+999, true)
		next += 1000
		s.Commit(s.Read())
		if n := files(); n > 3 {
			t.Fatalf("%d segments of delivered events", n)
		}
	}
	last := next
	for s.Waiting() < 10_000 {
		mustAppend(t, s, records(next, next+999))
		next += 1000
	}
	if files() < 4 {
		t.Errorf("%d segments", files())
	}
	expect(t, s, last, next-1, true)
	s.Rewind()
	expect(t, s, last, next-1, true)
	s = mustOpen(t, Config{Dir: dir})
	expect(t, s, last, next-1, true)
	s.Commit(s.Read())
	if n := files(); n > 2 {
		t.Errorf("%d segments of delivered events", n)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir()})
	room := s.Room()
	put := 0
	for {
		n, err := s.put(records(put+1, put+1000))
		put += n
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.total > MinLimit || s.total < MinLimit*3/4 {
		t.Errorf("full with %d bytes", s.total)
	}
	select {
	case <-room:
		t.Error("it is said to have room")
	default:
	}
	expect(t, s, 1, put/2, false)
	s.Commit(s.Read())
	select {
	case <-room:
	default:
		t.Error("that there is room is not told")
	}
	n, err := s.put(records(put+1, put+1000))
	if err != nil {
		t.Errorf("%d appended after half was delivered: %v", n, err)
	}
	expect(t, s, put/2+1, put+1000, true)
	s.Commit(s.Read())
	if n := s.Lost(); n != 0 {
		t.Errorf("%d lost", n)
	}
	// With all delivered there is room for as much as at first, in the middle of a segment or not.
	for i := range 5 {
		again := 0
		for {
			n, err := s.put(records(again+1, again+1000))
			again += n
			if errors.Is(err, ErrFull) {
				break
			}
		}
		if again != put && again < put*8/10 {
			t.Errorf("round %d: %d events fit, first %d", i, again, put)
		}
		expect(t, s, 1, again, true)
		s.Commit(s.Read())
	}
}

// What makes room for newer events is counted exactly, whether it had been read or not.
func TestDropOldest(t *testing.T) {
	t.Parallel()
	for _, read := range []int{0, 10, 7000} {
		s := mustOpen(t, Config{Dir: t.TempDir(), DropOldest: true})
		const all = 60_000
		mustAppend(t, s, records(1, 10_000))
		expect(t, s, 1, read, false)
		if read > 0 {
			s.Commit(s.Read())
		}
		delivered := read
		mustAppend(t, s, records(10_001, all))
		lost := int(s.Lost())
		r, ok := s.Next()
		if !ok {
			t.Fatal("all is gone")
		}
		var first int
		fmt.Sscanf(string(r), "event %d", &first)
		if first != delivered+lost+1 {
			t.Errorf("%d delivered, %d lost, then came %d", delivered, lost, first)
		}
		expect(t, s, first+1, all, true)
	}
}

// A torn end is cut off wherever it was torn, and what is appended later is read.
func TestTornEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	mustAppend(t, s, records(1, 3))
	s.Close()
	path := filepath.Join(dir, "0000000000000001")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	two := len(whole) - Head - len(text(3))
	for cut := two; cut <= len(whole); cut++ {
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "junkjunkjunkjunk"} {
			if err := os.WriteFile(path, append(slices.Clone(whole[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, Config{Dir: dir})
			mustAppend(t, s, records(4, 5))
			expect(t, s, 1, 2, false)
			s.Rewind()
			var got []string
			for r, ok := s.Next(); ok; r, ok = s.Next() {
				got = append(got, string(r))
			}
			want := []string{text(1), text(2), text(4), text(5)}
			if cut == len(whole) {
				want = slices.Insert(want, 2, text(3))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("cut at %d of %d: %q", cut, len(whole), got)
			}
			s.Close()
		}
	}
}

// Damage costs the records that it hit, which are counted, and nothing behind them: wherever it is, in whatever segment.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, segment := range []int{0, 1, -1, 2} { // the first, the second, the newest, the only one
		for _, damage := range []struct {
			at   int64
			text string
			hit  uint64 // records
		}{
			{0, "no header", 0},
			{0, strings.Repeat("\x00", segmentHead+8), 1},                      // as of a lost block; no length is that of a record of version 0
			{0, "\x10\x00\x00\x00", 0},                                         // that could be one
			{segmentHead, "\xff\xff\xff\xff", 1},                               // the length of its first record
			{segmentHead + 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 1},           // its number
			{segmentHead + Head + 3, "?", 1},                                   // its text
			{segmentHead, strings.Repeat("\x00", 2*(Head+len(text(1)))-20), 2}, // it and the next
			{segmentHead + 2000, strings.Repeat("\x10\x00\x00\x00", 30_000/4), 0},
		} {
			dir := t.TempDir()
			s := mustOpen(t, Config{Dir: dir})
			all := 4_000
			if segment == 2 {
				all = 1_000
			}
			for i := 1; i <= all; i += 500 {
				mustAppend(t, s, records(i, i+499))
			}
			n := (segment + len(s.segments)) % len(s.segments) // 2 is one of one
			path := s.path(s.segments[n].first)
			s.Close()
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte(damage.text), damage.at); err != nil {
				t.Fatal(err)
			}
			f.Close()
			s = mustOpen(t, Config{Dir: dir})
			had := make(map[string]bool)
			for r, ok := s.Next(); ok; r, ok = s.Next() {
				had[string(r)] = true
			}
			missing := uint64(0)
			for i := 1; i <= all; i++ {
				if !had[text(i)] {
					missing++
				}
			}
			if damage.hit == 0 && damage.at > 0 {
				damage.hit = uint64(len(damage.text)/(Head+len("event 1234 ")+13+25)) + 1 // about
				if missing > damage.hit+20 || missing < damage.hit-20 {
					t.Errorf("segment %d, at %d: %d are missing, of about %d that were hit", segment, damage.at, missing, damage.hit)
				}
			} else if missing != damage.hit {
				t.Errorf("segment %d, at %d: %d are missing, want %d", segment, damage.at, missing, damage.hit)
			}
			if lost := s.Lost(); lost != missing || len(had) != all-int(missing) {
				t.Errorf("segment %d, at %d: %d are missing, %d counted as lost, %d came", segment, damage.at, missing, lost, len(had))
			}
			mustAppend(t, s, records(all+1, all+1))
			expect(t, s, all+1, all+1, true)
		}
	}
}

// A record in the text of another is not taken for one, however the other is damaged.
func TestARecordInARecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	forged := Seal(append(make([]byte, Head), "forged"...), 0)
	Stamp(forged, 2, 0) // all that is not known is the salt
	mustAppend(t, s, []string{string(forged), "second"})
	path := s.path(1)
	s.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, segmentHead+3); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s = mustOpen(t, Config{Dir: dir})
	if r, ok := s.Next(); !ok || string(r) != "second" || s.Lost() != 1 {
		t.Errorf("%q, %v", r, ok)
	}
}

// A cursor that is torn or of another time gives events twice, not never.
func TestCursor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	mustAppend(t, s, records(1, 10))
	expect(t, s, 1, 3, false)
	s.Commit(s.Read())
	before, err := os.ReadFile(filepath.Join(dir, "cursor"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, s, 4, 6, false)
	s.Commit(s.Read())
	s.Close()
	after, err := os.ReadFile(filepath.Join(dir, "cursor"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		cursor []byte
		want   int
	}{
		{"whole", after, 7},
		{"the one before", before, 4},
		{"missing", nil, 1},
		{"its last writing torn", append(append(slices.Clone(after[:cursorHead+cursorSize+5]), "torn"...), after[cursorHead+cursorSize+9:]...), 4},
		{"noise", []byte(strings.Repeat("\xff", cursorHead+2*cursorSize)), 1},
		{"both writings torn", append(slices.Clone(after[:cursorHead]), strings.Repeat("\x01", 2*cursorSize)...), 1},
		{"nothing but zeros", make([]byte, cursorHead+2*cursorSize), 1},
	} {
		for _, start := range []Start{AtSlowest, Now, AtOldest} { // for who was never there before
			if start == Now && tt.cursor == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, "cursor"), tt.cursor, 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, Config{Dir: dir, Options: map[string]Options{"": {Start: start}}})
			expect(t, s, tt.want, 10, true)
			s.Close()
		}
	}
}

// Where somebody removes the files while they are used, what the newest held is written anew; what the others held is counted as lost,
// and what comes later is kept.
func TestRemovedFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "q")
	s := mustOpen(t, Config{Dir: dir, Readers: []string{"a", "b"}})
	b := single{s.Queue, s.Queue.Reader(1)}
	next, kept := 1, 1
	for round := range 3 {
		start := next
		if round > 0 { // the first time nothing was put yet
			mustAppend(t, s, records(next, next+9_999))
			expect(t, s, next, next+2, false)
			s.Commit(s.Read())
			next += 10_000
			if kept = int(s.newest().first); kept < start+4 || kept > next-10 {
				t.Fatalf("the newest segment begins with %d; this shows nothing", kept)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		s.looked = time.Time{}
		mustAppend(t, s, records(next, next+9))
		next += 10
		done := start
		if round > 0 {
			done += 3
		}
		if n := int(s.Lost()); n != kept-done && round > 0 || n != 0 && round == 0 {
			t.Errorf("round %d: %d lost, want those from %d to %d", round, n, done, kept)
		}
		if n := int(b.Lost()); n != kept-start && round > 0 || n != 0 && round == 0 {
			t.Errorf("round %d: %d lost for the other, want those from %d to %d", round, n, start, kept)
		}
		expect(t, s, kept, next-1, true)
		expect(t, b, kept, next-6, false)
		s.Commit(s.Read())
		b.Commit(b.Read())
		expect(t, b, next-5, next-1, true)
		b.Commit(b.Read())
	}
	mustAppend(t, s, records(next, next+9))
	expect(t, s, next, next+4, false)
	s.Commit(s.Read())
	s.Queue.Close()
	s = mustOpen(t, Config{Dir: dir, Readers: []string{"a", "b"}})
	expect(t, s, next+5, next+9, true)
	expect(t, single{s.Queue, s.Queue.Reader(1)}, next, next+9, true)
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

// With nothing to append it is noticed within seconds, too, and what waits outlives the process; so with the place of a reader alone.
func TestRemovedWhileIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		dir := filepath.Join(root, "a", "q")
		log := new(logBuffer)
		cfg := Config{Dir: dir, Limit: MinLimit, Log: slog.New(slog.NewTextHandler(log, nil))}
		q, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := single{q, q.Reader(0)}
		mustAppend(t, s, records(1, 10))
		expect(t, s, 1, 3, false)
		s.Commit(s.Read())
		removals := []func() error{
			func() error { return os.RemoveAll(dir) },
			func() error { return os.Rename(dir, dir+".old") },
			func() error { return os.Remove(filepath.Join(dir, placeName)) },
		}
		for i, remove := range removals {
			if err := remove(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * lookEvery)
			synctest.Wait()
			if got := log.take(); !strings.Contains(got, "records_lost=0") {
				t.Errorf("removal %d: log %s", i, got)
			}
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(root, "a")), os.WriteFile(filepath.Join(root, "a"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if got := log.take(); strings.Count(got, "cannot be made again") != 2 {
			t.Errorf("in 90 seconds it is not told twice; log %s", got)
		}
		if err := os.Remove(filepath.Join(root, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * lookEvery)
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if q, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		s = single{q, q.Reader(0)}
		expect(t, s, 4, 10, true)
		q.Close()
	})
}

// The form on disk stays: what another version left is read on, from where it stood. What comes goes to a segment of this version.
func TestForm(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"version 0": {
			"0000000000000001": "03000000e9b2942a6f6e65" + "03000000a3b3d85274776f" + "05000000bc51441c7468726565",
			"cursor": "0200000000000000010000000000000016000000000000000300000000000000823b01a1" +
				"010000000000000001000000000000000b00000000000000020000000000000075911d05",
		},
		"version 1": {
			"0000000000000001": "6f73736563645153010000001cabc844010000000000000092b76c060000000013000000f4195c6e01000000000000006f6e6513000000bd181016020000000000000074776f15000000a3fa8c5803000000000000007468726565",
			"cursor":           "6f73736563645143010000001cabc8440200000000000000010000000000000046000000000000000300000000000000c1b1bfef010000000000000001000000000000003300000000000000020000000000000093c792b6",
		},
	} {
		dir := t.TempDir()
		for file, digits := range files {
			b, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := mustOpen(t, Config{Dir: dir})
		if n := s.Waiting(); n != 1 {
			t.Errorf("%s: %d wait", name, n)
		}
		mustAppend(t, s, []string{"four"})
		s.Close()
		for _, from := range []int{3, 4, 5} {
			s = mustOpen(t, Config{Dir: dir})
			for i := from; i < 5; i++ {
				if r, ok := s.Next(); !ok || string(r) != []string{"three", "four"}[i-3] || s.Read().Record != uint64(i+1) {
					t.Errorf("%s: %q, %v, then at %+v", name, r, ok, s.Read())
				}
				if i == from {
					s.Commit(s.Read())
				}
			}
			if r, ok := s.Next(); ok || s.Lost() > 0 {
				t.Errorf("%s: %q behind the last", name, r)
			}
			s.Close()
		}
	}
}

// Files of a later version are left alone.
func TestNewer(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"0000000000000001", "cursor"} {
		dir := t.TempDir()
		s := mustOpen(t, Config{Dir: dir})
		mustAppend(t, s, records(1, 1))
		expect(t, s, 1, 1, true)
		s.Commit(s.Read())
		s.Close()
		path := filepath.Join(dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[8] = 2
		binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = Open(Config{Dir: dir, Limit: MinLimit, Log: slog.New(slog.DiscardHandler)})
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", file, err)
		}
		if after, err := os.ReadFile(path); err != nil || !slices.Equal(after, b) {
			t.Errorf("%s is not as it was, %v", file, err)
		}
	}
}

// Many append while one reads and commits.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir(), Sync: time.Millisecond})
	const writers, each = 4, 3000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := 0; i < each; {
				room := s.Room()
				n, err := s.put([]string{fmt.Sprintf("%d %d", w, i)})
				i += n
				if errors.Is(err, ErrFull) {
					<-room
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := make([]int, writers)
	for n := 0; n < writers*each; {
		r, ok := s.Next()
		if !ok {
			<-s.More()
			continue
		}
		w, i := 0, 0
		if _, err := fmt.Sscan(string(r), &w, &i); err != nil || i != next[w] {
			t.Fatalf("%s came, want %d, %v", r, next[w], err)
		}
		next[w]++
		if n++; n%100 == 0 {
			s.Commit(s.Read())
		}
	}
	all.Wait()
}

// While the oldest make room for the newest, each event is read or counted as lost.
func TestDropsAtOnce(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir(), DropOldest: true})
	const all = 100_000
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; i < all; i += 100 {
			if _, err := s.put(records(i+1, i+100)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	read, last := 0, 0
	for last < all {
		r, ok := s.Next()
		if !ok {
			<-s.More()
			continue
		}
		i := 0
		if fmt.Sscanf(string(r), "event %d", &i); i <= last || string(r) != text(i) {
			t.Fatalf("%q after %d", r, last)
		}
		last = i
		if read++; read%500 == 0 {
			s.Commit(s.Read())
		}
	}
	done.Wait()
	if lost := int(s.Lost()); read+lost < all { // what was read and not committed can be lost as well
		t.Errorf("%d read, %d lost of %d", read, lost, all)
	}
}

func TestLongest(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir(), Limit: 16 << 20})
	long := strings.Repeat("m", MaxRecord+1)
	mustAppend(t, s, append(records(1, 1), long, long))
	mustAppend(t, s, records(2, 2))
	expect(t, s, 1, 1, false)
	for range 2 {
		if r, ok := s.Next(); !ok || string(r) != long[:MaxRecord] {
			t.Errorf("%v, %d bytes", ok, len(r))
		}
	}
	expect(t, s, 2, 2, true)
}

// After Close nothing is put, read or removed.
func TestClosed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	mustAppend(t, s, records(1, 10))
	expect(t, s, 1, 5, false)
	at := s.Read()
	if err := errors.Join(s.Queue.Close(), s.Queue.Close()); err != nil {
		t.Error(err)
	}
	if n, err := s.put(records(11, 11)); n != 0 || err == nil {
		t.Errorf("%d put, %v", n, err)
	}
	expect(t, s, 6, 5, true)
	s.Commit(at)
	s = mustOpen(t, Config{Dir: dir})
	expect(t, s, 1, 10, true)
}

// Files that are used again bring nothing back of what they had: over kills, in the middle of such a file, and over damage in it.
func TestReuse(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), Reuse: true, First: 1 << 60}
	s := mustOpen(t, cfg)
	kill := func() {
		s.mu.Lock()
		s.closed = true // it does nothing more on the disk
		s.mu.Unlock()
		s = mustOpen(t, cfg)
	}
	next := 1
	for round := range 40 {
		for range 5 {
			mustAppend(t, s, records(next, next+399))
			expect(t, s, next, next+399, true)
			next += 400
			s.Commit(s.Read())
		}
		mustAppend(t, s, records(next, next+99))
		kept := s.Read()
		kill()
		if at := s.Read(); at.Record != kept.Record {
			t.Fatalf("round %d: at %v, want %v", round, at, kept)
		}
		if round%4 == 3 { // one record of those that wait is damaged
			g := s.newest()
			i := s.Read()
			s.Next()
			f, err := os.OpenFile(s.path(g.first), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("damage"), s.Queue.Reader(0).Read().Offset+20); err != nil {
				t.Fatal(err)
			}
			f.Close()
			kill()
			if at := s.Read(); at != i {
				t.Fatalf("round %d: at %v, want %v", round, at, i)
			}
			expect(t, s, next, next, false)
			expect(t, s, next+2, next+99, true)
			if n := s.Lost(); n != 1 {
				t.Errorf("round %d: %d lost, want 1", round, n)
			}
		} else {
			expect(t, s, next, next+99, true)
			if n := s.Lost(); n != 0 {
				t.Errorf("round %d: %d lost", round, n)
			}
		}
		next += 100
		s.Commit(s.Read())
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil || len(entries) > 4 {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, spareName)); err != nil {
		t.Error(err)
	}
}
