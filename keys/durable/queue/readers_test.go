package queue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Several readers each read all, at their own pace, and over restarts; the disk is bounded by the slowest.
func TestReaders(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), Readers: []string{"a", "b"}}
	s := mustOpen(t, cfg)
	a, b := s.Reader, single{s.Queue, s.Queue.Reader(1)}
	mustAppend(t, s, records(1, 10_000))
	expect(t, s, 1, 10_000, true)
	a.Commit(a.Read())
	expect(t, b, 1, 5_000, false)
	b.Commit(b.Read())
	if first := s.segments[0].first; first == 1 || first > 5_001 {
		t.Errorf("the oldest segment begins with record %d: want what a slow reader is done with removed, and no more", first)
	}
	for range 2 { // as after a kill
		s = mustOpen(t, cfg)
		b = single{s.Queue, s.Queue.Reader(1)}
		expect(t, s, 10_001, 10_000, true)
		expect(t, b, 5_001, 10_000, true)
	}
	b.Rewind()
	expect(t, b, 5_001, 10_000, true)
	b.Commit(b.Read())
	mustAppend(t, s, records(10_001, 10_100))
	expect(t, b, 10_001, 10_100, true)
	expect(t, s, 10_001, 10_100, true)
}

// Where the oldest make room each reader counts what it lost, not what another did.
func TestReadersLoseOnTheirOwn(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir(), Readers: []string{"a", "b"}, DropOldest: true})
	fast, slow := s, single{s.Queue, s.Queue.Reader(1)}
	got := uint64(0)
	const all = 60_000
	for i := 1; i <= all; i += 1000 {
		mustAppend(t, s, records(i, i+999))
		for {
			if _, ok := fast.Next(); !ok {
				break
			}
			got++
		}
		fast.Commit(fast.Read())
	}
	if lost := fast.Lost(); got != all || lost != 0 {
		t.Errorf("the fast reader got %d and lost %d of %d", got, lost, all)
	}
	var had uint64
	for {
		if _, ok := slow.Next(); !ok {
			break
		}
		had++
	}
	if lost := slow.Lost(); lost == 0 || had == 0 || had+lost != all {
		t.Errorf("the slow reader got %d and lost %d of %d", had, lost, all)
	}
}

// A reader that is new begins with what the slowest of those before had not delivered; places of old ones go.
func TestNewReaders(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir()}
	s := mustOpen(t, cfg)
	mustAppend(t, s, records(1, 100))
	expect(t, s, 1, 40, false)
	s.Commit(s.Read())
	for _, tt := range []struct {
		readers []string
		from    []int // the first record of each
	}{
		{[]string{"a", "b"}, []int{41, 41}},
		{[]string{"b", "c"}, []int{51, 41}},
		{nil, []int{51}},
	} {
		cfg.Readers = tt.readers
		s = mustOpen(t, cfg)
		for i, from := range tt.from {
			r := single{s.Queue, s.Queue.Reader(i)}
			expect(t, r, from, 100, true)
			r.Rewind()
			if from == 41 && i == len(tt.from)-1 {
				expect(t, r, 41, 50, false)
				r.Commit(r.Read())
			}
		}
		places, err := filepath.Glob(filepath.Join(cfg.Dir, "cursor*"))
		if err != nil || len(places) != len(tt.from) {
			t.Errorf("readers %q: places %q, %v", tt.readers, places, err)
		}
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "cursor")); err != nil {
		t.Error(err)
	}
	if got := placeOf(strings.Repeat("a", 4)); got != "cursor-aaaa" {
		t.Errorf("a place %q", got)
	}
}
