package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/proto"
)

// ways are the two ways of keeping slots; on Windows both are the same.
var ways = map[string]mapper{"mapped": mapFile, "written": nil}

var none proto.Counter

func open(t testing.TB, path string, way mapper) *Received {
	t.Helper()
	r, err := openReceived(path, way)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.head != nil {
			r.Close()
		}
	})
	return r
}

func slot(t testing.TB, r *Received, id, secret, peer string, rids proto.Counter) *Slot {
	t.Helper()
	s, err := r.Slot(id, secret, peer, rids)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shut(t testing.TB, r *Received) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func eachWay(t *testing.T, test func(t *testing.T, way mapper, path string)) {
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, way, filepath.Join(t.TempDir(), "received"))
		})
	}
}

func TestReceivedOutlives(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		s := slot(t, r, "001", "key", "", none)
		const v = 17_000_000_000_001
		for _, step := range []struct {
			v    uint64
			want proto.Verdict
		}{{v, proto.Fresh}, {v + 5, proto.Fresh}, {v + 3, proto.Late}, {v + 3, proto.Repeated}} {
			if got := s.Accept(step.v); got != step.want {
				t.Errorf("Accept(%d) = %v, want %v", step.v, got, step.want)
			}
		}
		seen := time.Unix(1_700_000_000, 0)
		s.SetConnected(true)
		s.SetConverses(true)
		s.SetLastSeen(seen.Add(time.Millisecond))
		s.SetInterval(10 * time.Minute)
		if again := slot(t, r, "001", "key", "", none); again != s {
			t.Error("the same agent has another slot")
		}
		shut(t, r)

		r = open(t, path, way)
		s = slot(t, r, "001", "key", "", none)
		for v, want := range map[uint64]proto.Verdict{v: proto.Repeated, v + 1: proto.Late, v + 3: proto.Repeated, v + 5: proto.Repeated, v + 6: proto.Fresh, v - 5000: proto.TooOld} {
			if got := s.Judge(v); got != want {
				t.Errorf("after opening again Judge(%d) = %v, want %v", v, got, want)
			}
		}
		if s.ID() != "001" || !s.Connected() || !s.Converses() || !s.LastSeen().Equal(seen) || s.Interval() != 10*time.Minute {
			t.Errorf("after opening again: %q, %v, %v, %v", s.ID(), s.Connected(), s.LastSeen(), s.Interval())
		}
		s.SetConnected(false)
		if !s.Converses() {
			t.Error("whether it converses went with whether it is connected")
		}
		s.SetConverses(false)
		if s.Connected() {
			t.Error("still connected")
		}
	})
}

// TestReceivedKeys: a KEY that comes back finds its counter, another KEY, ID or peer has one of its own.
func TestReceivedKeys(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		type agent struct{ id, secret, peer string }
		agents := []agent{{"001", "a", ""}, {"001", "b", ""}, {"1", "a", ""}, {"001", "a", "m1:1514"}, {"001", "a", "m2:1514"}, {"00", "1a", ""}, {"001", "", "a"}}
		for round := range uint64(3) {
			r := open(t, path, way)
			for i, a := range agents {
				s := slot(t, r, a.id, a.secret, a.peer, none)
				if got, want := s.Highest(), round*uint64(1000+i); got != want {
					t.Errorf("round %d, %v: Highest() = %d, want %d", round, a, got, want)
				}
				s.Accept((round + 1) * uint64(1000+i))
			}
			shut(t, r)
		}
		r := open(t, path, way)
		for _, id := range []string{"", "../1", "abc", "123456789"} {
			if _, err := r.Slot(id, "key", "", none); err == nil {
				t.Errorf("Slot(%q) took an ID that is none", id)
			}
		}
		shut(t, r)
		if _, err := r.Slot("001", "a", "", none); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Slot after Close: %v, want %v", err, os.ErrClosed)
		}
	})
}

func TestReceivedGrows(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		const agents = 12_000 // over the steps of doubling
		r := open(t, path, way)
		held := slot(t, r, "0", "key", "", none)
		for i := range agents {
			id := strconv.Itoa(i)
			slot(t, r, id, "key"+id, "", none).Accept(uint64(1_000_000 + i))
			held.Accept(uint64(1_000_000 + i))
		}
		if got, want := held.Highest(), uint64(1_000_000+agents-1); got != want {
			t.Errorf("the slot held while it grew has %d, want %d", got, want)
		}
		shut(t, r)
		r = open(t, path, way)
		for i := range agents {
			id := strconv.Itoa(i)
			if got, want := slot(t, r, id, "key"+id, "", none).Highest(), uint64(1_000_000+i); got != want {
				t.Fatalf("agent %s: Highest() = %d, want %d", id, got, want)
			}
		}
		if want := agents + 1; r.made != want {
			t.Errorf("%d slots, want %d", r.made, want)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size()%growUnit != 0 {
			t.Errorf("the file has %d bytes (%v), want a multiple of %d", info.Size(), err, growUnit)
		}
	})
}

// TestReceivedTakeOver: the stock file counts if it knows more than we ever did.
func TestReceivedTakeOver(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		ctx := context.Background()
		rids := filepath.Join(filepath.Dir(path), "rids")
		at := func(v uint64) proto.Counter { return proto.CounterAt(v) }
		r := open(t, path, way)

		s := slot(t, r, "001", "key", "", at(5_000_000)) // a stock install is taken over
		for _, v := range []uint64{1, 4_999_999, 5_000_000} {
			if got := s.Judge(v); got.Passes() {
				t.Errorf("Judge(%d) = %v after taking over 5,000,000", v, got)
			}
		}
		if got := s.Accept(5_000_002); got != proto.Fresh {
			t.Errorf("Accept above the stock count = %v", got)
		}
		slot(t, r, "001", "key", "", at(5_000_001)) // our own old writing
		if got := s.Judge(5_000_001); got != proto.Late {
			t.Errorf("Judge(5000001) = %v, want late", got)
		}

		other := slot(t, r, "001", "new key", "", at(5_000_002)) // what the old key counted
		if got := other.Highest(); got != 0 {
			t.Errorf("a new key starts at %d, want 0", got)
		}
		other.Accept(7)

		if n, err := r.Flush(ctx, rids, slices.Values([]*Slot{s})); n != 1 || err != nil {
			t.Errorf("Flush = %d, %v; want 1", n, err)
		}
		if c, _, err := ReadRids(rids, "001"); c.Value() != 5_000_002 || err != nil {
			t.Errorf("rids has %v, %v; want 5000002", c, err)
		}
		if n, err := r.Flush(ctx, rids, slices.Values([]*Slot{s})); n != 0 || err != nil {
			t.Errorf("second Flush = %d, %v; want 0", n, err)
		}

		s.Reset() // the stock file must not bring it back, flushed or not
		shut(t, r)
		r = open(t, path, way)
		c, _, err := ReadRids(rids, "001")
		if err != nil {
			t.Fatal(err)
		}
		s = slot(t, r, "001", "key", "", c)
		if got := s.Highest(); got != 0 {
			t.Errorf("after Reset: Highest() = %d, want 0", got)
		}
		if n, err := r.Flush(ctx, rids, slices.Values([]*Slot{s})); n != 1 || err != nil {
			t.Errorf("Flush after Reset = %d, %v; want 1", n, err)
		}
		if _, ok, err := ReadRids(rids, "001"); ok || err != nil {
			t.Errorf("after Reset rids still has a count (%v)", err)
		}
		if got := s.Accept(3_000_000); got != proto.Fresh {
			t.Errorf("Accept after Reset = %v", got)
		}
		s = slot(t, r, "001", "key", "", at(9_000_000)) // a stock program ran meanwhile
		if got := s.Highest(); got != 9_000_000 {
			t.Errorf("Highest() = %d, want what the stock program counted", got)
		}
	})
}

// TestReceivedTakenAway: that the file is no longer at its path is told, and rids/ are written all the same.
func TestReceivedTakenAway(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system keeps a file that is open")
	}
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		s := slot(t, r, "001", "key", "", none)
		for _, spoil := range []func() error{
			func() error { return os.Remove(path) },
			func() error {
				os.Rename(path, path+".old")
				return os.WriteFile(path, make([]byte, growUnit), 0o600) // another file
			},
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			s.Accept(s.Highest() + 1)
			n, err := r.Flush(context.Background(), filepath.Join(filepath.Dir(path), "rids"), slices.Values([]*Slot{s}))
			if n != 1 || err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("Flush = %d, %v; want 1 and an error that names the file", n, err)
			}
		}
	})
}

func TestReceivedConcurrent(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		rids := filepath.Join(filepath.Dir(path), "rids")
		shared := slot(t, r, "1", "key", "", none)
		passed := make([]int, 4)
		var wg sync.WaitGroup
		for g := range passed {
			wg.Go(func() {
				for v := range uint64(500) {
					if shared.Accept(v + 1).Passes() {
						passed[g]++
					}
					s, err := r.Slot(fmt.Sprint(100+g*1000+int(v)), "key", "", none)
					if err != nil {
						t.Error(err)
						return
					}
					s.Accept(v + 1)
					s.SetConnected(true)
				}
			})
		}
		for range 20 {
			if _, err := r.Flush(context.Background(), rids, slices.Values([]*Slot{shared})); err != nil {
				t.Error(err)
			}
			slot(t, r, "1", "another", "", none)
		}
		wg.Wait()
		sum := 0
		for _, n := range passed {
			sum += n
		}
		if sum != 500 {
			t.Errorf("500 counts passed %d times", sum)
		}
	})
}

func BenchmarkAccept(b *testing.B) {
	for name, way := range ways {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s := slot(b, open(b, filepath.Join(b.TempDir(), "received"), way), "1", "key", "", none)
			v := uint64(17_000_000_000_000)
			for b.Loop() {
				v++
				s.Accept(v)
			}
		})
	}
	b.Run("mapped, 100,000 agents", func(b *testing.B) {
		b.ReportAllocs()
		r := open(b, filepath.Join(b.TempDir(), "received"), mapFile)
		slots := make([]*Slot, 100_000)
		for i := range slots {
			slots[i] = slot(b, r, strconv.Itoa(i), "key", "", none)
		}
		const v = 17_000_000_000_000
		for i := 0; b.Loop(); i++ { // each agent counts for itself
			slots[i*7919%len(slots)].Accept(uint64(v + i/len(slots)))
		}
	})
}

// BenchmarkReceivedOpen: the file of 100,000 agents opened, and each agent's slot found in it.
func BenchmarkReceivedOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "received")
	ids := make([]string, 100_000)
	r := open(b, path, mapFile)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
		slot(b, r, ids[i], "key", "", none).Accept(42)
	}
	shut(b, r)
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			shut(b, open(b, path, mapFile))
		}
	})
	b.Run("find all", func(b *testing.B) {
		b.ReportAllocs()
		r := open(b, path, mapFile)
		for b.Loop() {
			for _, id := range ids {
				slot(b, r, id, "key", "", none)
			}
		}
	})
	b.Run("make all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := open(b, filepath.Join(b.TempDir(), "received"), mapFile)
			for _, id := range ids {
				slot(b, r, id, "key", "", none)
			}
			shut(b, r)
		}
	})
	b.Run("flush all", func(b *testing.B) {
		b.ReportAllocs()
		r := open(b, path, mapFile)
		rids := filepath.Join(b.TempDir(), "rids")
		var slots []*Slot
		for _, id := range ids {
			slots = append(slots, slot(b, r, id, "key", "", none))
		}
		flush := func(v uint64) {
			for _, s := range slots {
				s.Accept(v)
			}
			if n, err := r.Flush(context.Background(), rids, slices.Values(slots)); n != len(slots) || err != nil {
				b.Fatal(n, err)
			}
		}
		flush(100) // makes the files
		for v := uint64(101); b.Loop(); v++ {
			flush(v)
		}
	})
}
