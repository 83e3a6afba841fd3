package listen

import "time"

// longestPause is how long a receiver lets datagrams gather at most: what an event is late by.
const longestPause = 5 * time.Millisecond

// coalescer lets datagrams gather in the socket before they are read while many come, as network cards do with their
// interrupts: so a wake-up, which can cost more than the work on a datagram, serves many of them. When few come there is
// no pause, nor while there is more to read at once. What gathers takes up to room bytes of the socket's buffer, at the
// rate at which they last came.
type coalescer struct {
	room  int       // bytes that may gather
	since time.Time // when the datagrams counted here began to come
	count int64
	bytes int64
	more  bool // the last batch was full: there may be more to read
}

// datagramCost is about what the system counts toward the buffer for a datagram, besides its bytes.
const datagramCost = 2048

// took notes what was read where most could have been.
func (p *coalescer) took(ps []Datagram, most int) {
	p.count += int64(len(ps))
	for i := range ps {
		p.bytes += int64(len(ps[i].Data)) + datagramCost
	}
	p.more = len(ps) == most
}

// pause says how long to let datagrams gather, called before they are read.
func (p *coalescer) pause(now time.Time) time.Duration {
	if p.more {
		return 0
	}
	// How many longest pauses it took for what came.
	pauses := float64(now.Sub(p.since)) / float64(longestPause)
	count, bytes := float64(p.count), float64(p.bytes)
	p.since, p.count, p.bytes = now, 0, 0
	switch {
	case count < 2*pauses: // fewer than two would gather
		return 0
	case bytes > float64(p.room)*pauses:
		return time.Duration(float64(longestPause) * float64(p.room) * pauses / bytes)
	}
	return longestPause
}
