package keys

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

const (
	// KeepGone is how long the counter of a key stays that no agent has any more. Within that time a key that comes back, as with a keys
	// file that is restored from a backup, finds its counter, and nothing that was captured under it passes again.
	KeepGone = 30 * 24 * time.Hour

	// mostGone is how many such counters stay at most, if there are not more agents than that: 16 MB.
	mostGone = 64 << 10

	// leastGone is how long each of them stays even so: whoever used it has long let go of it then.
	leastGone = time.Hour

	tidyEvery = time.Hour
)

// Tidy frees the slots of keys that no agent has had for [KeepGone], so that keys that are changed again and again do not let the file
// grow without end. live are the slots of all keys that are in use, or may be within an hour. It does nothing if it was called within the last hour.
func (r *Received) Tidy(now time.Time, live iter.Seq[*Slot]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head == nil || now.Sub(r.tidied).Abs() < tidyEvery {
		return
	}
	r.tidied = now
	used := make(map[*Slot]bool)
	for s := range live {
		used[s] = true
	}
	type departed struct {
		slot  *Slot
		since time.Time
	}
	var gone []departed
	for _, first := range r.first {
		for s := first; s != nil; s = s.next {
			if used[s] {
				s.set(slotGone, 0)
				continue
			}
			since := time.Unix(int64(s.get(slotGone)), 0)
			if since.Unix() == 0 || since.After(now) {
				since = now
				s.set(slotGone, uint64(now.Unix()))
			}
			gone = append(gone, departed{s, since})
		}
	}
	slices.SortFunc(gone, func(a, b departed) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.slot.at, b.slot.at)) })
	over := len(gone) - max(r.mostGone, len(used))
	for i, d := range gone {
		if age := now.Sub(d.since); age < KeepGone && (i >= over || age < leastGone) {
			break
		}
		r.release(d.slot)
	}
}

// release makes a slot free. mu is held.
func (r *Received) release(s *Slot) {
	id := s.word(slotID)
	if first := r.first[id]; first != s {
		for first.next != s {
			first = first.next
		}
		first.next = s.next
	} else if s.next != nil {
		r.first[id] = s.next
	} else {
		delete(r.first, id)
	}
	s.next = nil
	s.empty()
	r.free = append(r.free, s)
}
