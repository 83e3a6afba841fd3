package file

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// progress is a file beside the positions file with the positions of files that are being read. The positions file is replaced
// as a whole, a few times a second; here a position is noted after each batch, in one small write, so that a kill
// repeats no more than the batch in flight. It is not forced to the disk: it is for kills, not for power cuts.
//
// It has places of 80 bytes, all numbers little-endian:
//
//	8 bytes  generation
//	16       device and inode
//	8        offset
//	2        1 in the middle of a line, else 0
//	2        length of the fingerprint of the beginning
//	2        length of that of the ending, which is before the offset
//	2        0
//	32       both fingerprints
//	4        CRC-32C of the above
//	4        0
//
// A place counts where its generation is above that of the positions file.
type progress struct {
	file       *os.File
	generation uint64
	places     map[identity]int64
	free       []int64 // places of files that are not read any more
	count      int64   // places, free ones among them
	broken     bool    // it cannot be written; the positions file is what there is
}

const (
	progressPlace  = 80
	progressSummed = 72
	maxProgress    = 64 << 20 // bytes of such a file that are read
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openProgress opens the file, and corrects the positions by it. Without it the positions are as they were saved.
func openProgress(path string, known *positions) (*progress, error) {
	h := &progress{generation: known.generation, places: make(map[identity]int64)}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		h.broken = true
		return h, err
	}
	h.file = f
	b, err := io.ReadAll(io.LimitReader(f, maxProgress))
	if err != nil {
		return h, err
	}
	newest := make(map[identity]uint64)
	at := make(map[identity]*reached)
	before := b // as the version before may have left it
	for ; len(b) >= progressPlace; b = b[progressPlace:] {
		if crc32.Checksum(b[:progressSummed], castagnoli) != binary.LittleEndian.Uint32(b[progressSummed:]) {
			continue
		}
		generation := binary.LittleEndian.Uint64(b)
		id := identity{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
		offset := binary.LittleEndian.Uint64(b[24:])
		if generation <= known.generation || generation <= newest[id] || generation == math.MaxUint64 || offset > math.MaxInt64/2 {
			continue
		}
		r := &reached{pos: mark{int64(offset), b[32] == 1}}
		r.print = fingerprint{int(binary.LittleEndian.Uint16(b[34:])), [16]byte(b[40:])}
		r.end = ending{r.pos.off, fingerprint{int(binary.LittleEndian.Uint16(b[36:])), [16]byte(b[56:])}}
		if r.print.n > headSize || r.end.print.n > headSize || int64(r.end.print.n) > r.pos.off {
			continue
		}
		newest[id], at[id] = generation, r
		h.generation = max(h.generation, generation)
	}
	for i := range known.files {
		if r := &known.files[i]; at[r.id] != nil {
			r.reached = *at[r.id]
		}
	}
	if len(at) == 0 { // no place is as this version writes them
		h.readEarlier(before, known)
	}
	h.generation++
	return h, nil
}

// readEarlier takes the positions that the version before noted in places of 48 bytes: its generation, identity, offset, 8 bytes with 1
// in the middle of a line, CRC-32C, 4 bytes.
func (h *progress) readEarlier(b []byte, known *positions) {
	const place, summed = 48, 40
	newest := make(map[identity]uint64)
	for ; len(b) >= place; b = b[place:] {
		generation, offset := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[24:])
		id := identity{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
		if crc32.Checksum(b[:summed], castagnoli) != binary.LittleEndian.Uint32(b[summed:]) || generation <= known.generation ||
			generation <= newest[id] || generation == math.MaxUint64 || offset > math.MaxInt64/2 {
			continue
		}
		newest[id] = generation
		h.generation = max(h.generation, generation)
		for i := range known.files {
			if r := &known.files[i]; r.id == id {
				r.pos = mark{int64(offset), b[32] == 1}
			}
		}
	}
}

// note notes how far a file was read.
func (h *progress) note(id identity, r *reached) {
	if h.broken {
		return
	}
	place, ok := h.places[id]
	if !ok {
		if n := len(h.free); n > 0 {
			place, h.free = h.free[n-1], h.free[:n-1]
		} else {
			place = h.count
			h.count++
		}
		h.places[id] = place
	}
	var b [progressPlace]byte
	binary.LittleEndian.PutUint64(b[:], h.generation)
	binary.LittleEndian.PutUint64(b[8:], id.Device)
	binary.LittleEndian.PutUint64(b[16:], id.Inode)
	binary.LittleEndian.PutUint64(b[24:], uint64(r.pos.off))
	if r.pos.mid {
		b[32] = 1
	}
	binary.LittleEndian.PutUint16(b[34:], uint16(r.print.n))
	binary.LittleEndian.PutUint16(b[36:], uint16(r.end.print.n))
	copy(b[40:], r.print.sum[:])
	copy(b[56:], r.end.print.sum[:])
	binary.LittleEndian.PutUint32(b[progressSummed:], crc32.Checksum(b[:progressSummed], castagnoli))
	if _, err := h.file.WriteAt(b[:], place*progressPlace); err != nil {
		h.broken = true // as on a full disk; what stands in it is older than the next positions file
	}
}

// forget gives the place of a file to another one.
func (h *progress) forget(id identity) {
	if place, ok := h.places[id]; ok {
		delete(h.places, id)
		h.free = append(h.free, place)
	}
}

// saving is called when the positions are taken for the positions file; they cover what was noted until now. What it
// returns is for that file.
func (h *progress) saving() (generation uint64) {
	generation = h.generation
	h.generation++
	h.broken = h.file == nil
	return generation
}

func (h *progress) close() {
	if h.file != nil {
		h.file.Close()
	}
}
