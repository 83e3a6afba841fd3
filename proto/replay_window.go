package proto

import (
	"encoding/binary"
	"strconv"
)

const (
	windowBlocks = 20 // 64 counts each; one of them is always the spare that RFC 6479 clears ahead

	// WindowWidth is how far below the highest count a late one is still judged by its own bit.
	WindowWidth = (windowBlocks - 1) * 64
	// WindowSize is what a Window takes, in bytes.
	WindowSize = 8 * (1 + windowBlocks)
)

// Verdict says whether a count may pass.
type Verdict uint8

const (
	Fresh    Verdict = iota + 1 // above every count before
	Late                        // below the highest, not seen before
	Repeated                    // seen before
	TooOld                      // more than WindowWidth below the highest: nobody knows any more
)

// Passes says whether a message with this verdict is taken.
func (v Verdict) Passes() bool { return v == Fresh || v == Late }

func (v Verdict) String() string {
	switch v {
	case Fresh:
		return "fresh"
	case Late:
		return "late"
	case Repeated:
		return "repeated"
	case TooOld:
		return "too old"
	}
	return "Verdict(" + strconv.Itoa(int(v)) + ")"
}

// Window is the replay window of one sender: it tells counts that were not seen from repeated ones: the highest count, and one bit for each of the
// WindowWidth below it, in a ring of blocks as in RFC 6479. The stock programs know the highest alone and lose
// what the network merely reordered (docs/protocol.md, "Receiving").
//
// The zero value has seen nothing; a count of 0, which no sender uses, is always Repeated. It is an array of bytes so
// that it can also lie in a mapped file, as (*Window)(mapping[at:]), eight-byte aligned. It holds little-endian
// words: the highest count, then the blocks. It is for one goroutine at a time.
//
// # A process killed between two stores
//
// Each word is written by one store, which a 64-bit machine does whole. Accept stores the highest count first,
// then clears the blocks that were skipped, then sets the bit. Whichever of these were the last:
//
//   - the count is taken in by the first store, since the highest count is always refused, and so is every count
//     accepted before, since its bit or its being too old is not touched by later stores;
//   - a higher count passes, since no bits are asked about it;
//   - blocks not cleared hold bits of counts long gone, so at worst late counts of that moment are refused.
//
// What may be missing is the bit of the highest count. Mend sets it; call it once on what a killed process left.
type Window [WindowSize]byte

// Highest is the highest count seen, 0 for none.
func (w *Window) Highest() uint64 { return w.word(0) }

// Judge tells what Accept would say of count v, and changes nothing.
func (w *Window) Judge(v uint64) Verdict {
	highest := w.Highest()
	switch {
	case v > highest:
		return Fresh
	case v == highest, v == 0:
		return Repeated
	case highest-v > WindowWidth:
		return TooOld
	case w.word(place(v))&bit(v) != 0:
		return Repeated
	}
	return Late
}

// Accept judges count v and records it if it passes.
func (w *Window) Accept(v uint64) Verdict {
	const all = 1 + windowBlocks + 1
	return w.accept(v, all)
}

// accept does no more than so many stores and drops the rest, as a kill would.
func (w *Window) accept(v uint64, stores int) Verdict {
	verdict := w.Judge(v)
	if !verdict.Passes() {
		return verdict
	}
	if verdict == Fresh {
		block := w.Highest() / 64
		w.put(0, v, &stores)
		for skipped := min(v/64-block, windowBlocks); skipped > 0; skipped-- {
			block++
			w.put(1+int(block%windowBlocks), 0, &stores)
		}
	}
	w.put(place(v), w.word(place(v))|bit(v), &stores)
	return verdict
}

// Raise makes the window refuse every count up to v, and no higher one. A v that is not above the highest count
// changes nothing. A process killed in between leaves nothing open: the blocks are filled before the highest
// count is raised.
func (w *Window) Raise(v uint64) {
	const all = windowBlocks + 2
	w.raise(v, all)
}

func (w *Window) raise(v uint64, stores int) {
	if v <= w.Highest() {
		return
	}
	for i := range windowBlocks {
		w.put(1+i, ^uint64(0), &stores)
	}
	w.put(0, v, &stores)
	w.put(place(v), bit(v)<<1-1, &stores) // counts above v were not seen
}

// Mend sets the bit of the highest count if a killed process had no time to. It writes only then.
func (w *Window) Mend() {
	if v := w.Highest(); w.word(place(v))&bit(v) == 0 {
		one := 1
		w.put(place(v), w.word(place(v))|bit(v), &one)
	}
}

// place is the word that has the bit of v.
func place(v uint64) int { return 1 + int(v/64%windowBlocks) }

func bit(v uint64) uint64 { return 1 << (v % 64) }

func (w *Window) word(i int) uint64 { return binary.LittleEndian.Uint64(w[i*8:]) }

func (w *Window) put(i int, word uint64, stores *int) {
	if *stores == 0 {
		return
	}
	*stores--
	binary.LittleEndian.PutUint64(w[i*8:], word)
}
