package keys

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ossecd/proto"
)

func TestReceivedFlushErrors(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		rids := filepath.Join(filepath.Dir(path), "rids")
		if err := os.MkdirAll(filepath.Join(rids, "2"), 0o700); err != nil { // in the way
			t.Fatal(err)
		}
		r := open(t, path, way)
		var slots []*Slot
		for i := range 4 {
			s := slot(t, r, strconv.Itoa(i), "key", "", none)
			s.Accept(100)
			slots = append(slots, s)
		}
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		if n, err := r.Flush(canceled, rids, slices.Values(slots)); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("Flush with a done context = %d, %v", n, err)
		}
		n, err := r.Flush(context.Background(), rids, slices.Values(slots))
		if n != 3 || err == nil || !strings.Contains(err.Error(), "2") {
			t.Errorf("Flush = %d, %v; want 3 and an error about 2", n, err)
		}
		if err := os.Remove(filepath.Join(rids, "2")); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Flush(context.Background(), rids, slices.Values(slots)); n != 1 || err != nil {
			t.Errorf("Flush after the repair = %d, %v; want 1", n, err)
		}
	})
}

func TestReceivedDamaged(t *testing.T) {
	t.Parallel()
	good := func(t *testing.T) []byte {
		path := filepath.Join(t.TempDir(), "received")
		r := open(t, path, mapFile)
		for i := range 300 { // two growths
			slot(t, r, strconv.Itoa(i), "key", "", none).Accept(42)
		}
		shut(t, r)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(b []byte, at int, word uint64) []byte {
		binary.LittleEndian.PutUint64(b[at:], word)
		return b
	}
	tests := map[string]func(b []byte) []byte{
		"empty":                      func(b []byte) []byte { return nil },
		"cut in the head":            func(b []byte) []byte { return b[:20] },
		"cut after the head":         func(b []byte) []byte { return b[:slotSize] },
		"shorter than it says":       func(b []byte) []byte { return b[:growUnit] },
		"foreign":                    func(b []byte) []byte { return bytes.Repeat([]byte("log line\n"), growUnit) },
		"zeros":                      func(b []byte) []byte { return make([]byte, len(b)) },
		"of a later version":         func(b []byte) []byte { return put(b, headVersion, 2) },
		"of another slot size":       func(b []byte) []byte { return put(b, headSlotSize, 512) },
		"of a big-endian host":       func(b []byte) []byte { return put(b, headSlotSize, slotSize<<48) },
		"more slots than there are":  func(b []byte) []byte { return put(b, headMade, math.MaxUint64) },
		"an ID that is none":         func(b []byte) []byte { return put(b, slotSize+slotID, 0x2f2e2e) },
		"a count that is none":       func(b []byte) []byte { return put(b, slotSize+slotWindow, math.MaxUint64) },
		"a stock count that is none": func(b []byte) []byte { return put(b, slotSize+slotKnown, math.MaxUint64) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "received")
			bad := damage(good(t))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenReceived(path)
			if !errors.Is(err, ErrReceived) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("OpenReceived: %v; want ErrReceived with file and remedy", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, bad) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
	t.Run("a directory", func(t *testing.T) {
		t.Parallel()
		if _, err := OpenReceived(t.TempDir()); !errors.Is(err, ErrReceived) {
			t.Errorf("OpenReceived: %v, want ErrReceived", err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		t.Parallel()
		if _, err := OpenReceived(filepath.Join(t.TempDir(), "none", "received")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("OpenReceived: %v, want %v", err, os.ErrNotExist)
		}
	})
}

// TestReceivedKilledWhileGrowing cuts the file as a kill in a growth does, at every kind of place, with junk where
// a slot was begun.
func TestReceivedKilledWhileGrowing(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		const full = growUnit/slotSize - 1
		for i := range full {
			slot(t, r, strconv.Itoa(i), "key", "", none).Accept(42)
		}
		shut(t, r)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []int{0, 1, slotSize, slotSize + 7, growUnit - 1, growUnit} {
			junk := bytes.Repeat([]byte{0xff}, more)
			if err := os.WriteFile(path, append(slices.Clone(whole), junk...), 0o600); err != nil {
				t.Fatal(err)
			}
			r := open(t, path, way)
			s := slot(t, r, "9999", "key", "", none)
			if got := s.Judge(1); got != proto.Fresh || s.Highest() != 0 || s.Connected() {
				t.Errorf("%d bytes more: the new slot is not empty: Judge(1) = %v", more, got)
			}
			for i := range full {
				if got := slot(t, r, strconv.Itoa(i), "key", "", none).Judge(42); got != proto.Repeated {
					t.Fatalf("%d bytes more: agent %d: Judge(42) = %v, want repeated", more, i, got)
				}
			}
			shut(t, r)
		}
	})
}

// TestReceivedDiskFull: growing is an error, what is there goes on, and it grows once there is room.
func TestReceivedDiskFull(t *testing.T) {
	eachWay(t, func(t *testing.T, way mapper, path string) {
		r := open(t, path, way)
		const full = growUnit/slotSize - 1
		var slots []*Slot
		for i := range full {
			slots = append(slots, slot(t, r, strconv.Itoa(i), "key", "", none))
		}
		writable := r.file
		readOnly, err := os.Open(path) // writes fail
		if err != nil {
			t.Fatal(err)
		}
		defer readOnly.Close()
		r.file = readOnly
		if _, err := r.Slot("9999", "key", "", none); err == nil || !strings.Contains(err.Error(), "free space") {
			t.Errorf("Slot on a full disk: %v, want an error with the remedy", err)
		}
		if got := slots[7].Accept(42); got != proto.Fresh {
			t.Errorf("Accept on a full disk = %v", got)
		}
		_, err = r.Flush(context.Background(), filepath.Join(t.TempDir(), "rids"), slices.Values(slots))
		if failed := err != nil; failed != (way == nil) {
			t.Errorf("Flush: %v; only slots that are written can fail", err)
		}
		r.file = writable
		if got := slot(t, r, "9999", "key", "", none).Accept(1); got != proto.Fresh {
			t.Errorf("Accept of the new agent = %v", got)
		}
	})
}

// FuzzOpenReceived changes a good file: it opens or is refused, and never faults.
func FuzzOpenReceived(f *testing.F) {
	path := filepath.Join(f.TempDir(), "received")
	r := open(f, path, nil)
	for i := range 3 {
		slot(f, r, strconv.Itoa(i), "key", "", none).Accept(uint64(42 + i))
	}
	shut(f, r)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:headSize], 0, growUnit)
	f.Add(good[slotSize:4*slotSize], slotSize, growUnit)
	f.Add(good[slotSize:2*slotSize], 4*slotSize, growUnit+1)
	f.Add([]byte{200}, headMade, growUnit)
	f.Add([]byte{0xff, 1}, headMade, 3*growUnit)
	f.Fuzz(func(t *testing.T, change []byte, at, size int) {
		if at < 0 || at > growUnit || size < 0 || size > 4*growUnit {
			return
		}
		file := slices.Clone(good)
		copy(file[at:], change)
		file = append(file, make([]byte, 4*growUnit)...)[:size]
		path := filepath.Join(t.TempDir(), "received")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReceived(path)
		if err != nil {
			return
		}
		defer r.Close()
		s, err := r.Slot("77", "key", "", proto.Counter{Global: 5})
		if err != nil {
			t.Fatal(err)
		}
		if s.Judge(50_000).Passes() {
			t.Fatal("the stock count was not taken over")
		}
	})
}
