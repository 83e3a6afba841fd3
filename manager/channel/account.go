package channel

import (
	"unique"

	"ossecd/proto"
)

const (
	perGlobal = 9997 // local counts that a sender uses of each global one

	// maxGap is the longest gap between two counts that is taken for lost messages. A longer one is that of a sender which set its counter
	// forward: at 50,000 messages a second these would be 20 s without one of them arriving.
	maxGap = 1 << 20
)

// account is what came of one agent's messages since the manager started. The peer's mu guards it.
//
// An agent's counts rise by one a message, so a gap is messages that did not come: the network lost them, or they were damaged on the way.
// A startup may set them forward, and begins another row.
type account struct {
	events  uint64
	missing uint64 // in rows that have ended
	row     row
	program unique.Handle[string] // "NAME VERSION", by its last keepalive; zero before that
}

// row is counts that follow on each other, as ordinals: what they would be without the gaps that the protocol leaves.
type row struct {
	first, last uint64 // 0 before the first message
	taken       uint64
	gap         uint64 // before the last
}

func ordinal(count uint64) uint64 {
	c := proto.CounterAt(count)
	return uint64(c.Global)*perGlobal + uint64(c.Local)
}

func (r *row) missing() uint64 {
	if r.first == 0 || r.last-r.first+1 < r.taken {
		return 0
	}
	return r.last - r.first + 1 - r.taken
}

// took counts a message that was taken.
func (a *account) took(count uint64) {
	n, r := ordinal(count), &a.row
	switch {
	case r.first == 0:
		*r = row{first: n, last: n, taken: 1}
	case n > r.last && n-r.last-1 > maxGap:
		a.missing += r.missing()
		*r = row{first: n, last: n, taken: 1}
	case n > r.last:
		r.gap = n - r.last - 1
		r.last = n
		r.taken++
	case n >= r.first: // a late one
		r.taken++
	case a.missing > 0: // a late one of the row before
		a.missing--
	default:
		r.first = n
		r.taken++
	}
}

// startsAnew takes that the message which was just taken is a startup, with the highest count so far.
func (a *account) startsAnew() {
	r := &a.row
	a.missing += max(r.missing(), r.gap) - r.gap
	*r = row{first: r.last, last: r.last, taken: 1}
}
