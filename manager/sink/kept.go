package sink

import (
	"os"

	"ossecd/keys"
)

// Kept is how far the events of each key had got into the journal when it was opened. What was counted and not written before a kill is not
// among them.
type Kept struct {
	last map[uint64]uint64 // the highest count, by key; nil where the journal was new
}

// NewKept makes it for the journal in a directory, which is not open yet.
func NewKept(dir string) *Kept {
	if _, err := os.Stat(dir); err != nil {
		return new(Kept)
	}
	return &Kept{make(map[uint64]uint64)}
}

// Visit takes a record of the journal.
func (k *Kept) Visit(record []byte) {
	if key, count := Origin(record); k.last != nil && count > k.last[key] {
		k.last[key] = count
	}
}

// Before is the highest count of an agent that can be told to have arrived. What an agent of ours sent since its last answer and that is not in
// the newest part of the journal is sent again, rather than never.
func (k *Kept) Before(slot *keys.Slot) uint64 {
	highest := slot.Highest()
	if k.last == nil {
		return highest
	}
	return min(highest, k.last[slot.Print()])
}
