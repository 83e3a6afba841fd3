package proto

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// model is what a window must do, with all that was ever seen.
type model struct {
	seen    map[uint64]bool
	highest uint64
	raised  uint64 // all up to here count as seen
}

func (m *model) accept(v uint64) Verdict {
	switch {
	case v > m.highest:
		m.highest = v
		m.seen[v] = true
		return Fresh
	case m.highest-v > WindowWidth && v != 0:
		return TooOld
	case v <= m.raised || m.seen[v]:
		return Repeated
	}
	m.seen[v] = true
	return Late
}

func (m *model) raise(v uint64) {
	if v > m.highest {
		m.highest, m.raised = v, v
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	type step struct {
		v    uint64
		want Verdict
	}
	base := Counter{1_700_000_000, 1}.Value()
	tests := map[string][]step{
		"zero is never a count": {{0, Repeated}, {1, Fresh}, {0, Repeated}},
		"in order":              {{1, Fresh}, {2, Fresh}, {3, Fresh}, {3, Repeated}, {1, Repeated}},
		"a late one passes once": {
			{base, Fresh}, {base + 2, Fresh}, {base + 1, Late}, {base + 1, Repeated}, {base + 2, Repeated}},
		"roll-over of local": {
			{Counter{5, 9996}.Value(), Fresh}, {Counter{6, 1}.Value(), Fresh},
			{Counter{5, 9997}.Value(), Late}, {Counter{5, 9997}.Value(), Repeated}, {Counter{6, 1}.Value(), Repeated}},
		"the edge of the window": {
			{base, Fresh}, {base + WindowWidth + 1, Fresh}, {base, TooOld}, {base + 1, Late}, {base + 1, Repeated},
			{base + WindowWidth + 2, Fresh}, {base + 1, TooOld}, {base + 2, Late}},
		"a jump over the whole ring forgets the old bits": {
			{64, Fresh}, {64 + 64*windowBlocks, Fresh}, {64*windowBlocks + 63, Late}, {64 * windowBlocks, Late}},
		"the last count of all": {{Counter{1<<32 - 1, 9999}.Value(), Fresh}, {Counter{1<<32 - 1, 9999}.Value(), Repeated}},
		"the end of 64 bits":    {{1<<64 - 1, Fresh}, {1<<64 - 1, Repeated}, {1<<64 - 2, Late}, {1, TooOld}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w Window
			for i, s := range steps {
				before := w
				judged := w.Judge(s.v)
				if w != before {
					t.Fatalf("step %d: Judge changed the window", i)
				}
				if got := w.Accept(s.v); got != s.want || judged != s.want {
					t.Errorf("step %d: Judge(%d) = %v, Accept = %v, want %v", i, s.v, judged, got, s.want)
				}
			}
		})
	}
}

// TestWindowAgainstModel feeds random traffic (in order, late, repeated, with jumps) to the window and the model.
func TestWindowAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 6479))
		var w Window
		m := &model{seen: map[uint64]bool{0: true}}
		for range 3_000 {
			v := m.highest
			switch rnd.IntN(20) {
			case 0:
				v += rnd.Uint64N(4 * WindowWidth)
			case 1:
				v += rnd.Uint64N(1 << 40)
			case 2, 3, 4, 5, 6, 7:
				v -= min(v, rnd.Uint64N(WindowWidth+70))
			case 8, 9:
				v -= min(v, rnd.Uint64N(4))
			case 10:
				if rnd.IntN(50) == 0 {
					v += rnd.Uint64N(3 * WindowWidth)
					w.Raise(v)
					m.raise(v)
				}
			default:
				v += 1 + rnd.Uint64N(3)
			}
			if rnd.IntN(100) == 0 {
				w.Mend()
			}
			if got, want := w.Accept(v), m.accept(v); got != want {
				t.Fatalf("seed %d: Accept(%d) = %v, want %v (highest %d)", seed, v, got, want, m.highest)
			}
			if w.Highest() != m.highest {
				t.Fatalf("seed %d: Highest() = %d, want %d", seed, w.Highest(), m.highest)
			}
		}
	}
}

// TestWindowKilledBetweenStores stops each of a run of Accepts and Raises after every number of stores. What came
// before, and the count at hand once the first store took it in, must stay refused; what is higher must pass.
func TestWindowKilledBetweenStores(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var w Window
		var accepted []uint64
		for range 150 {
			v := w.Highest()
			switch rnd.IntN(6) {
			case 0:
				v -= min(v, rnd.Uint64N(WindowWidth))
			case 1:
				v += rnd.Uint64N(3 * WindowWidth)
			case 2:
				v += 64 * rnd.Uint64N(2*windowBlocks)
			default:
				v += 1 + rnd.Uint64N(80)
			}
			raise := rnd.IntN(25) == 0
			for stores := range windowBlocks + 3 {
				killed := w
				if raise {
					killed.raise(v, stores)
				} else {
					killed.accept(v, stores)
				}
				took := !raise && stores > 0 && w.Judge(v).Passes()
				killed.Mend()
				checkKilled(t, killed, accepted)
				if took {
					checkKilled(t, killed, []uint64{v})
				}
			}
			if raise {
				w.Raise(v)
			} else if w.Accept(v).Passes() {
				accepted = append(accepted, v)
			}
		}
	}
}

func checkKilled(t *testing.T, w Window, accepted []uint64) {
	t.Helper()
	high := w.Highest()
	for _, v := range accepted {
		if got := w.Judge(v); got.Passes() {
			t.Fatalf("after the kill %d is %v, but it was accepted before (highest %d)", v, got, high)
		}
	}
	for _, step := range []uint64{1, 63, WindowWidth} {
		after := w // fresh ones pass, and do not let old ones in again
		if got := after.Accept(high + step); got != Fresh {
			t.Fatalf("after the kill %d is %v, want fresh (highest %d)", high+step, got, high)
		}
		for _, v := range accepted {
			if got := after.Judge(v); got.Passes() {
				t.Fatalf("after the kill and %d, %d is %v, but it was accepted before", high+step, v, got)
			}
		}
	}
}

func TestWindowRaise(t *testing.T) {
	t.Parallel()
	for v := uint64(10_000); v < 10_130; v++ {
		var w Window
		w.Accept(v - 100)
		w.Raise(v)
		w.Raise(v - 50) // changes nothing
		for below := range uint64(WindowWidth + 100) {
			if got := w.Judge(v - below); got.Passes() {
				t.Fatalf("Raise(%d): %d is %v", v, v-below, got)
			}
		}
		w.Accept(v + 200)
		for late := v + 1; late < v+200; late++ {
			if got := w.Accept(late); got != Late {
				t.Fatalf("Raise(%d), Accept(%d): Accept(%d) = %v, want late", v, v+200, late, got)
			}
		}
	}
}

// FuzzWindow reads the input as steps of 2 bytes from the highest count and compares with the model.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 0xf0, 0, 0xfb, 0x40})
	f.Add([]byte{4, 0xc1, 0xfb, 0x3f, 0xfb, 0x40, 0, 1, 0xfb, 0x40})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var w Window
		m := &model{seen: map[uint64]bool{0: true}}
		for ; len(steps) >= 2; steps = steps[2:] {
			step := int64(int16(binary.BigEndian.Uint16(steps)))
			v := uint64(max(0, int64(m.highest)+step))
			if step == -32768 {
				v = m.highest + 1<<40
				w.Raise(v)
				m.raise(v)
			}
			if got, want := w.Accept(v), m.accept(v); got != want {
				t.Fatalf("Accept(%d) = %v, want %v", v, got, want)
			}
		}
	})
}

func BenchmarkWindow(b *testing.B) {
	b.Run("in order", func(b *testing.B) {
		b.ReportAllocs()
		var w Window
		v := uint64(17_000_000_000_000)
		for b.Loop() {
			v++
			w.Accept(v)
		}
	})
	b.Run("swapped pairs", func(b *testing.B) {
		b.ReportAllocs()
		var w Window
		v := uint64(17_000_000_000_000)
		for b.Loop() {
			v++
			w.Accept(v ^ 1)
		}
	})
	b.Run("repeated", func(b *testing.B) {
		b.ReportAllocs()
		var w Window
		v := uint64(17_000_000_000_000)
		w.Accept(v)
		for b.Loop() {
			w.Accept(v)
		}
	})
}
