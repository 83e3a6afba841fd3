package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ossecd/agent/source"
	"ossecd/keys/durable/queue"
)

// What the queue does with records is tested there.

func mustOpen(t testing.TB, cfg queue.Config) *Spool {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Events are the same when they come out, for each reader and over restarts; one too long for a record is cut.
func TestEvents(t *testing.T) {
	t.Parallel()
	cfg := queue.Config{Dir: filepath.Join(t.TempDir(), "spool"), Limit: 16 << 20, Readers: []string{"a", "b"}}
	s := mustOpen(t, cfg)
	long := source.Event{Queue: 'x', Location: strings.Repeat("l", 1<<16-1), Message: []byte(strings.Repeat("m", queue.MaxRecord))}
	tooLong := long
	tooLong.Location += "l"
	want := []source.Event{{Queue: '1', Location: "/var/log/x", Message: []byte("one")}, {Queue: '8', Message: []byte{0, 0xff}}, {Queue: '1', Location: "l"}, long, tooLong}
	if n, err := s.Append(want); n != len(want) || err != nil {
		t.Fatalf("%d appended, %v", n, err)
	}
	long.Message = long.Message[:queue.MaxRecord-recordHead-len(long.Location)]
	want[3], want[4] = long, long
	for range 2 {
		for i := range cfg.Readers {
			r := s.Reader(i)
			for _, w := range want {
				e, ok := r.Next()
				if !ok || e.Queue != w.Queue || e.Location != w.Location || string(e.Message) != string(w.Message) {
					t.Fatalf("reader %d: got %.100v, %v, want %.100v", i, e, ok, w)
				}
			}
			if e, ok := r.Next(); ok || r.Uncommitted() != uint64(len(want)) || r.Lost() != 0 {
				t.Errorf("reader %d: %.100v", i, e)
			}
		}
		s = mustOpen(t, cfg)
	}
}

// What is no event is passed over, and counted as lost once.
func TestOddRecords(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, queue.Config{Dir: t.TempDir(), Limit: queue.MinLimit})
	odd := []string{"1", "1\x05\x00abcd", "1\xff\xff"}
	if _, err := s.Queue.Append(len(odd), func(b []byte, i int) []byte { return append(b, odd[i]...) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append([]source.Event{{Queue: '1', Location: "l", Message: []byte("text")}}); err != nil {
		t.Fatal(err)
	}
	r := s.Reader(0)
	if e, ok := r.Next(); !ok || string(e.Message) != "text" {
		t.Errorf("%v, %v", e, ok)
	}
	if first, second := r.Lost(), r.Lost(); first != 3 || second != 0 {
		t.Errorf("%d lost, and again %d", first, second)
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	if _, err := Open(queue.Config{Dir: t.TempDir(), Limit: queue.MinLimit - 1}); err == nil || !strings.HasPrefix(err.Error(), "spool: ") {
		t.Error(err)
	}
	s := mustOpen(t, queue.Config{Dir: t.TempDir(), Limit: queue.MinLimit})
	if n, err := s.Append([]source.Event{{Message: make([]byte, 600<<10)}, {Message: make([]byte, 600<<10)}}); n != 1 || !errors.Is(err, queue.ErrFull) {
		t.Errorf("%d, %v", n, err)
	}
}

func FuzzEvent(f *testing.F) {
	for i := range 3 {
		f.Add(appendEvent(nil, &source.Event{Queue: '1', Location: fmt.Sprint("/var/log/", i), Message: []byte("text")[:i]}))
	}
	f.Add([]byte("1\xff\xff"))
	f.Fuzz(func(t *testing.T, record []byte) {
		var e source.Event
		if !parseEvent(record, &e) {
			return
		}
		if again := appendEvent(nil, &e); string(again) != string(record) {
			t.Fatalf("%x became %x", record, again)
		}
	})
}

// From the sources to the reader, by how often the disk is forced.
func BenchmarkSpool(b *testing.B) {
	for _, sync := range []time.Duration{0, 5 * time.Second, time.Second, 100 * time.Millisecond, 10 * time.Millisecond, time.Millisecond} {
		b.Run(fmt.Sprint("sync=", sync), func(b *testing.B) {
			s := mustOpen(b, queue.Config{Dir: b.TempDir(), Limit: 256 << 20, Sync: sync})
			r := s.Reader(0)
			batch := make([]source.Event, 64)
			for i := range batch {
				batch[i] = source.Event{Queue: '1', Location: "/var/log/auth.log", Message: []byte(strings.Repeat("m", 200))}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Append(batch); err != nil {
					b.Fatal(err)
				}
				for range batch {
					r.Next()
				}
				r.Commit(r.Read())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/event")
		})
	}
}

// The spool of the version before segments had a header is taken over: what was not delivered comes once, and what is appended later behind it.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/upgrade/agent/spool")); err != nil {
		t.Fatal(err)
	}
	read := func(commit bool) (got []string) {
		s := mustOpen(t, queue.Config{Dir: dir, Limit: 16 << 20})
		defer s.Close()
		if commit {
			if _, err := s.Append([]source.Event{{Queue: '1', Location: "app.log", Message: []byte("line 301")}}); err != nil {
				t.Fatal(err)
			}
		}
		r := s.Reader(0)
		for e, ok := r.Next(); ok; e, ok = r.Next() {
			got = append(got, string(e.Message))
		}
		if n := r.Lost(); n > 0 {
			t.Errorf("%d lost", n)
		}
		if commit {
			r.Commit(r.Read())
		}
		return got
	}
	var want []string
	for i := 101; i <= 301; i++ {
		want = append(want, fmt.Sprint("line ", i))
	}
	for i, want := range [][]string{want[:200], want, nil} {
		if got := read(i == 1); !slices.Equal(got, want) {
			t.Errorf("opened %d times: got %d events, want %d: %q", i+1, len(got), len(want), got)
		}
	}
}
