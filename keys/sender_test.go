package keys

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
)

func openSender(t *testing.T, dir string) *Sender {
	t.Helper()
	s, err := OpenSender(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func next(t *testing.T, s *Sender) proto.Counter {
	t.Helper()
	c, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func senderText(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, senderFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func setSenderText(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, senderFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRebased(t *testing.T) {
	t.Parallel()
	tests := []struct {
		last uint32
		now  int64
		want uint32
	}{
		{0, 1_700_000_000, 1_700_000_000},
		{1_700_000_000, 1_700_000_000, 1_700_000_001}, // same second
		{1_800_000_000, 1_700_000_000, 1_800_000_001}, // the clock went back
		{41, -1, 42},        // before 1970
		{41, 0, 42},         // no clock
		{41, 1 << 31, 42},   // no 31 bits
		{41, 1<<32 + 5, 42}, // no 32 bits
		{41, 1<<31 - 1, math.MaxInt32},
		{math.MaxInt32, 1_700_000_000, 1 << 31}, // past what the clock may say
		{math.MaxUint32 - 1, 1_700_000_000, math.MaxUint32},
	}
	for _, tt := range tests {
		if got := rebased(tt.last, tt.now); got != tt.want {
			t.Errorf("rebased(%d, %d) = %d, want %d", tt.last, tt.now, got, tt.want)
		}
	}
}

// TestSenderCountsUp is the promise: whatever happens to the process and its file, counts only grow.
func TestSenderCountsUp(t *testing.T) {
	t.Parallel()
	type ways map[string]func(t *testing.T, dir, first string)
	tests := ways{
		"killed":         func(*testing.T, string, string) {},
		"file deleted":   func(t *testing.T, dir, _ string) { os.Remove(filepath.Join(dir, senderFile)) },
		"file restored":  func(t *testing.T, dir, first string) { setSenderText(t, dir, first) },
		"file emptied":   func(t *testing.T, dir, _ string) { setSenderText(t, dir, "") },
		"directory lost": func(t *testing.T, dir, _ string) { os.RemoveAll(dir) },
		"a stock program ran": func(t *testing.T, dir, _ string) {
			c, _, err := ParseRids([]byte(senderText(t, dir)))
			if err != nil {
				t.Fatal(err)
			}
			setSenderText(t, dir, string(AppendRids(nil, proto.Counter{Global: c.Global + 1, Local: 17}))+"97:")
		},
		"rids of long ago": func(t *testing.T, dir, _ string) { setSenderText(t, dir, "1:1:") },
	}
	for name, happens := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "rids")
			synctest.Test(t, func(t *testing.T) {
				first := ""
				var highest proto.Counter
				for round := range 5 {
					s := openSender(t, dir)
					if first == "" {
						first = senderText(t, dir)
					}
					for range 12_000 { // over a roll-over each time
						c := next(t, s)
						if c.Value() <= highest.Value() {
							t.Fatalf("round %d: %v after %v", round, c, highest)
						}
						highest = c
					}
					synctest.Wait() // the save ahead
					happens(t, dir, first)
					time.Sleep(3 * time.Second) // 12,000 in 3 s: fewer than 9,997 a second
				}
			})
		})
	}
}

func TestSenderFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rids")
	synctest.Test(t, func(t *testing.T) {
		const g = 946684800 // 2000-01-01, when the clock of synctest starts
		s := openSender(t, dir)
		if got, want := senderText(t, dir), "946684800:9997:"; got != want {
			t.Errorf("after the start the file has %q, want %q", got, want)
		}
		if got, want := next(t, s), (proto.Counter{Global: g, Local: 1}); got != want {
			t.Errorf("first count %v, want %v", got, want)
		}
		for range 9_996 {
			next(t, s)
		}
		synctest.Wait()
		if got, want := senderText(t, dir), "946684801:9997:"; got != want {
			t.Errorf("before the roll-over the file has %q, want %q", got, want)
		}
		if got, want := next(t, s), (proto.Counter{Global: g + 1, Local: 1}); got != want {
			t.Errorf("after 9997 comes %v, want %v", got, want)
		}

		for range 3 { // within one second a rebase does nothing
			if err := s.Rebase(); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := next(t, s), (proto.Counter{Global: g + 1, Local: 2}); got != want {
			t.Errorf("after rebases in the second of the start comes %v, want %v", got, want)
		}
		time.Sleep(time.Second)
		s.Rebase() // the clock says g+1, which is in use
		s.Rebase()
		if got, want := next(t, s), (proto.Counter{Global: g + 2, Local: 1}); got != want {
			t.Errorf("after a rebase comes %v, want %v", got, want)
		}
		time.Sleep(time.Minute)
		s.Rebase()
		if got, want := next(t, s), (proto.Counter{Global: g + 61, Local: 1}); got != want {
			t.Errorf("after a rebase a minute later comes %v, want %v", got, want)
		}
		next(t, s)
		if got, want := senderText(t, dir), "946684861:9997:"; got != want {
			t.Errorf("the file has %q, want %q", got, want)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := senderText(t, dir), "946684861:2:"; got != want {
			t.Errorf("after Close the file has %q, want %q", got, want)
		}
		if _, err := s.Next(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next after Close: %v, want %v", err, os.ErrClosed)
		}
		time.Sleep(time.Second)
		if err := s.Rebase(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Rebase after Close: %v, want %v", err, os.ErrClosed)
		}
	})
}

// A stock daemon that was started beside us goes on above what we granted, and reads the file anew when it is replaced: a lower count there
// would have its manager refuse it.
func TestSenderLeavesWhatAnotherCounted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ found, want string }{
		"another went on": {"2000000001:1:", "2000000001:1:"},
		"as we left it":   {"2000000000:9997:", "2000000000:2:"},
		"an older one":    {"5:5:", "2000000000:2:"},
		"no counter":      {"x", "2000000000:2:"},
		"empty":           {"", "2000000000:2:"},
	} {
		dir := t.TempDir()
		setSenderText(t, dir, "1999999999:9997:") // above any clock of these years
		s := openSender(t, dir)
		next(t, s)
		next(t, s)
		setSenderText(t, dir, tt.found)
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := senderText(t, dir); got != tt.want {
			t.Errorf("%s: left %q, want %q", name, got, tt.want)
		}
	}
}

func TestSenderPast2038(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1<<31, 0)))
		setSenderText(t, dir, "1700000000:5:")
		s := openSender(t, dir)
		if got, want := next(t, s), (proto.Counter{Global: 1_700_000_001, Local: 1}); got != want {
			t.Errorf("first count %v, want %v", got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSenderCannotSave takes the directory away: what is saved is used up, then Next fails, and it recovers.
func TestSenderCannotSave(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rids")
	synctest.Test(t, func(t *testing.T) {
		s := openSender(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := s.Rebase(); err != nil { // makes what somebody took away
			t.Errorf("Rebase without directory: %v", err)
		}
		if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil { // in the way
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := s.Rebase(); err == nil || !strings.Contains(err.Error(), "free space") {
			t.Errorf("Rebase without directory: %v, want one that tells the remedy", err)
		}
		var last proto.Counter
		for range lastLocal {
			last = next(t, s)
		}
		synctest.Wait()
		for range 3 {
			if c, err := s.Next(); err == nil || errors.Is(err, ErrExhausted) {
				t.Fatalf("Next = %v, %v without a saved global", c, err)
			}
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if c, err := s.Next(); err == nil {
			t.Errorf("Next = %v: tried twice in one second", c)
		}
		time.Sleep(time.Second)
		if got, want := next(t, s), last.Next(); got != want {
			t.Errorf("after the repair comes %v, want %v", got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSender(dir); err == nil {
		t.Error("OpenSender took a file for a directory")
	}
}

func TestSenderExhausted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	setSenderText(t, dir, "4294967294:1:")
	s := openSender(t, dir)
	for range lastLocal {
		if c := next(t, s); c.Global != math.MaxUint32 {
			t.Fatalf("got %v, want the last global", c)
		}
	}
	if c, err := s.Next(); !errors.Is(err, ErrExhausted) {
		t.Errorf("Next = %v, %v; want %v", c, err, ErrExhausted)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenSender(dir); !errors.Is(err, ErrExhausted) {
		t.Errorf("OpenSender: %v, want %v", err, ErrExhausted)
	}
	setSenderText(t, dir, "4294967295:")
	if _, err := OpenSender(dir); !errors.Is(err, errRids) || !strings.Contains(err.Error(), senderFile) {
		t.Errorf("OpenSender on garbage: %v, want an error that names the file", err)
	}
}

func TestSenderConcurrent(t *testing.T) {
	t.Parallel()
	s := openSender(t, t.TempDir())
	const each = 8_000
	counts := make([][]uint64, 4)
	var wg sync.WaitGroup
	for i := range counts {
		wg.Go(func() {
			for n := range each {
				c, err := s.Next()
				if err != nil {
					t.Error(err)
					return
				}
				counts[i] = append(counts[i], c.Value())
				if n%1000 == 0 {
					s.Rebase()
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	seen := make(map[uint64]bool)
	for _, list := range counts {
		last := uint64(0)
		for _, v := range list {
			if seen[v] || v <= last {
				t.Fatalf("count %v after %v, seen before: %v", proto.CounterAt(v), proto.CounterAt(last), seen[v])
			}
			seen[v], last = true, v
		}
	}
}

// BenchmarkSenderNext: "counting" is one message below the rate at which saves are waited for, "saving" as many as
// the disk takes, 9,997 a save.
func BenchmarkSenderNext(b *testing.B) {
	for _, name := range []string{"counting", "saving"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s, err := OpenSender(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			if name == "counting" {
				s.saved = math.MaxUint32
			}
			for b.Loop() {
				if _, err := s.Next(); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// Who must not wait for a disk does not: while a save hangs TryNext gives out what is granted and then says so, and RebaseSoon
// returns at once. What the disk takes later is in force then.
func TestSenderDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenSender(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		first := s.last.Global
		time.Sleep(time.Minute)
		s.saving.Lock() // as one whose disk hangs
		s.RebaseSoon(func(err error) { t.Error(err) })
		s.RebaseSoon(func(err error) { t.Error(err) })
		for i := range lastLocal {
			if c, err := s.TryNext(); err != nil || c != (proto.Counter{Global: first, Local: uint32(i + 1)}) {
				t.Fatalf("count %d is %v, %v", i+1, c, err)
			}
		}
		for range 3 {
			if c, err := s.TryNext(); !errors.Is(err, ErrNotSaved) {
				t.Fatalf("behind what is granted comes %v, %v", c, err)
			}
		}
		s.saving.Unlock()
		synctest.Wait()
		if c, err := s.TryNext(); err != nil || c.Global != first+60 || c.Local != 1 {
			t.Errorf("once the disk goes on the count is %v, %v; want one of the clock, %d", c, err, first+60)
		}
	})
}
