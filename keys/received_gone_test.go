package keys

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

var begun = time.Unix(1_800_000_000, 0)

// However often keys change, the file does not grow without end; and as long as it is promised, nothing passes again under a key that
// comes back.
func TestGoneSlotsAreFreed(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		other := slot(t, r, "002", "other", "", none)
		other.Accept(7)
		size := int64(0)
		for day := range 365 {
			now := begun.Add(time.Duration(day) * 24 * time.Hour)
			var s *Slot
			for change := range 20 { // 20 new keys a day
				s = slot(t, r, "001", fmt.Sprint("key ", day, " ", change), "", none)
				s.Accept(1000)
			}
			r.Tidy(now, slices.Values([]*Slot{s, other}))
			if day%50 == 49 {
				shut(t, r)
				r = open(t, path, way)
				other = slot(t, r, "002", "other", "", none)
			}
			if back := slot(t, r, "001", fmt.Sprint("key ", max(day-29, 0), " 3"), "", none); back.Judge(1000).Passes() {
				t.Fatalf("day %d: a message that was taken under a key of 29 days ago passes again", day)
			}
			if info, err := os.Stat(path); err != nil || day > 60 && info.Size() > size {
				t.Fatalf("day %d: %v bytes, %v; it had %d", day, info.Size(), err, size)
			} else {
				size = info.Size()
			}
		}
		if other.Judge(7).Passes() || !slot(t, r, "001", "key 0 3", "", none).Judge(1000).Passes() {
			t.Error("a key in use lost its count, or one of a year ago has it still")
		}
		made := r.made
		shut(t, r)
		r = open(t, path, way)
		if r.made != made || r.made > 31*20+100 || len(r.free) == 0 {
			t.Errorf("%d slots, %d of them free; it were %d", r.made, len(r.free), made)
		}
	})
}

// More than a bound of them are not kept, but none is freed while somebody may hold it.
func TestGoneSlotsHaveABound(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir()+"/received", mapFile)
	r.mostGone = 100
	first := slot(t, r, "001", "first", "", none)
	r.Tidy(begun, slices.Values([]*Slot(nil)))
	for i := range r.mostGone {
		slot(t, r, fmt.Sprint(1000+i), "x", "", none)
	}
	r.Tidy(begun.Add(tidyEvery), slices.Values([]*Slot(nil)))
	if len(r.free) != 1 || first.word(slotID) != 0 {
		t.Errorf("%d are free, want the one that is gone for longest", len(r.free))
	}
}

// What a kill leaves of a slot that was being filled or freed is a free slot, and nothing of it goes on into the next agent's.
func TestHalfASlot(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		slot(t, r, "001", "a", "", none).Accept(9)
		slot(t, r, "002", "b", "", none).Accept(9)
		shut(t, r)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint64(text[slotSize+slotID:], 0)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r = open(t, path, way)
		if len(r.free) != 1 {
			t.Fatalf("%d slots are free, want the half one", len(r.free))
		}
		if s := slot(t, r, "003", "c", "", none); s.Highest() != 0 || s.at != slotSize || len(r.free) != 0 {
			t.Errorf("the slot at byte %d counts to %d", s.at, s.Highest())
		}
		if s := slot(t, r, "002", "b", "", none); s.Judge(9).Passes() {
			t.Error("the other lost its count")
		}
	})
}

// A file whose name is removed while it is used is made anew, and counting goes on in that one.
func TestRemovedWhileUsed(t *testing.T) {
	t.Parallel()
	if mapFile == nil {
		t.Skip("no open file can be removed here")
	}
	dir := t.TempDir()
	path := dir + "/received"
	r := open(t, path, mapFile)
	var all []*Slot
	for i := range 600 { // more than one piece
		s := slot(t, r, fmt.Sprintf("%03d", i), "x", "", none)
		s.Accept(uint64(100 + i))
		all = append(all, s)
	}
	if len(r.pieces) < 2 {
		t.Fatalf("%d pieces show nothing", len(r.pieces))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	last := uint64(100) // should the other goroutine not get to run
	go func() {         // one that receives meanwhile
		defer close(stopped)
		for v := uint64(1000); ; v++ {
			select {
			case <-stop:
				return
			default:
				all[0].Accept(v)
				last = v
			}
		}
	}()
	if _, err := r.Flush(t.Context(), dir+"/rids", slices.Values(all)); err == nil {
		t.Error("nothing is said of it")
	}
	if _, err := r.Flush(t.Context(), dir+"/rids", slices.Values(all)); err != nil {
		t.Errorf("the second time: %v", err)
	}
	close(stop)
	<-stopped
	all[5].Accept(5000)
	slot(t, r, "700", "x", "", none).Accept(3)
	again := open(t, path, mapFile) // as after a kill
	for i, v := range map[string]uint64{"000": last, "005": 5000, "006": 106, "599": 699, "700": 3} {
		if s := slot(t, again, i, "x", "", none); s.Highest() != v || s.Judge(v).Passes() {
			t.Errorf("agent %s counts to %d, want %d", i, s.Highest(), v)
		}
	}

	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("somebody else's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Flush(t.Context(), dir+"/rids", slices.Values(all)); err == nil {
		t.Error("nothing is said of another file in its place")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "somebody else's" {
		t.Errorf("the other file has %q, %v", text, err)
	}
}
