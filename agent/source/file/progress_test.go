package file

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A kill repeats nothing of what was noted since the positions file was saved.
func TestKilledBetweenTwoSaves(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte // to the file of positions in progress
		want   []string
	}{
		{"whole", func(b []byte) []byte { return b }, []string{"0", "1", "2", "3"}},
		{"as the version before wrote it", asEarlier, []string{"0", "1", "2", "3"}},
		{"missing", func([]byte) []byte { return nil }, []string{"0", "1", "2", "0", "1", "2", "3"}},
		{"torn", func(b []byte) []byte { return b[:progressPlace-1] }, []string{"0", "1", "2", "0", "1", "2", "3"}},
		{"noise", func(b []byte) []byte { b[30] ^= 1; return b }, []string{"0", "1", "2", "0", "1", "2", "3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a.log")
			r.append("a.log", "")
			r.start()
			saved, err := os.ReadFile(r.cfg.Positions)
			r.must(err)
			r.append("a.log", "0\n1\n")
			r.want("", "0", "1")
			r.append("a.log", "2\n")
			r.want("", "0", "1", "2")
			r.stop()
			text, err := os.ReadFile(r.cfg.Positions + ".hot")
			r.must(err)
			r.must(os.WriteFile(r.cfg.Positions+".hot", tt.damage(text), 0o600))
			r.must(os.WriteFile(r.cfg.Positions, saved, 0o600))
			r.start()
			r.append("a.log", "3\n")
			r.want("", tt.want...)
		})
	}
}

// asEarlier writes places as the version before did: without fingerprints.
func asEarlier(b []byte) (earlier []byte) {
	for ; len(b) >= progressPlace; b = b[progressPlace:] {
		place := append(append([]byte(nil), b[:33]...), make([]byte, 7)...)
		place = binary.LittleEndian.AppendUint32(place, crc32.Checksum(place, castagnoli))
		earlier = append(append(earlier, place...), 0, 0, 0, 0)
	}
	return earlier
}

// Files that are new, or truncated, are in the positions file before a line of them is sent: a kill repeats no more of
// them than of others.
func TestKilledBeforeTheNextSave(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.pace.save = time.Hour
	r.append("a.log", "")
	r.start()
	r.append("a.log", "0\n1\n")
	r.want("", "0", "1")
	r.must(os.Truncate(r.path("a.log"), 0))
	r.append("a.log", "2\n")
	r.want("", "0", "1", "2")
	r.rename("a.log", "a.log.1")
	r.append("a.log", "3\n")
	r.want("", "0", "1", "2", "3")
	r.append("b.log", "4\n")
	r.want("", "0", "1", "2", "3", "4")
	saved, err := os.ReadFile(r.cfg.Positions)
	r.must(err)
	r.stop()
	r.must(os.WriteFile(r.cfg.Positions, saved, 0o600))
	r.start()
	r.append("b.log", "5\n")
	r.want("", "0", "1", "2", "3", "4", "5")

}

// What was noted before the positions were saved does not count against them.
func TestHotPositionsOfBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "progress")
	a, b := identity{1, 2}, identity{1, 3}
	known := func() *positions {
		return &positions{generation: 5, files: []record{{path: "/a", id: a, reached: reached{pos: mark{10, false}}}, {path: "/b", id: b, reached: reached{pos: mark{20, false}}}}}
	}
	h, err := openProgress(path, known())
	if err != nil {
		t.Fatal(err)
	}
	h.note(a, &reached{pos: mark{11, true}})
	h.note(a, &reached{pos: mark{12, false}})
	if g := h.saving(); g != 6 {
		t.Errorf("saved as %d, want 6", g)
	}
	h.note(b, &reached{pos: mark{21, true}})
	h.close()
	for _, tt := range []struct {
		generation uint64
		a, b       mark
	}{{5, mark{12, false}, mark{21, true}}, {6, mark{10, false}, mark{21, true}}, {7, mark{10, false}, mark{20, false}}} {
		p := known()
		p.generation = tt.generation
		h, err := openProgress(path, p)
		if err != nil {
			t.Fatal(err)
		}
		h.close()
		if p.files[0].pos != tt.a || p.files[1].pos != tt.b {
			t.Errorf("generation %d: %v and %v, want %v and %v", tt.generation, p.files[0].pos, p.files[1].pos, tt.a, tt.b)
		}
		if h.generation <= tt.generation || h.generation <= 7 {
			t.Errorf("generation %d goes on with %d", tt.generation, h.generation)
		}
	}
}

// Places are used again.
func TestHotPlaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "progress")
	h, err := openProgress(path, &positions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	for i := range uint64(100) {
		h.note(identity{1, i}, &reached{pos: mark{1, false}})
		if i >= 3 {
			h.forget(identity{1, i - 3})
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 4*progressPlace {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

// A file that cannot be made costs repeated lines after a kill, nothing else.
func TestNoHotPositions(t *testing.T) {
	t.Parallel()
	r := newRig(t, "a.log")
	r.must(os.Mkdir(r.cfg.Positions+".hot", 0o700))
	r.append("a.log", "")
	r.start()
	r.append("a.log", "1\n")
	r.want("", "1")
	r.stop()
	r.start()
	r.append("a.log", "2\n")
	r.want("", "1", "2")
}

func FuzzHot(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	h, err := openProgress(path, &positions{})
	if err != nil {
		f.Fatal(err)
	}
	h.note(identity{1, 2}, &reached{pos: mark{90210, true}})
	h.close()
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, b[:20]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "progress")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		p := positions{files: []record{{path: "/a", id: identity{1, 2}}}}
		h, err := openProgress(path, &p)
		if err != nil {
			t.Fatal(err)
		}
		h.close()
		if p.files[0].pos.off < 0 {
			t.Fatalf("position %v", p.files[0].pos)
		}
	})
}
