package listen

import (
	"testing"
	"time"
)

func TestCoalescer(t *testing.T) {
	t.Parallel()
	const most, room = 32, 1 << 20
	batch := func(n, size int) []Datagram {
		ps := make([]Datagram, n)
		for i := range ps {
			ps[i].Data = make([]byte, size)
		}
		return ps
	}
	for _, tt := range []struct {
		name    string
		batches [][]Datagram // read within the time
		within  time.Duration
		want    time.Duration
	}{
		{"nothing came", nil, time.Second, 0},
		{"one a second", [][]Datagram{batch(1, 200)}, time.Second, 0},
		{"one in 4 ms", [][]Datagram{batch(1, 200)}, 4 * time.Millisecond, 0},
		{"one in 2 ms", [][]Datagram{batch(1, 200)}, 2 * time.Millisecond, longestPause},
		{"one at once", [][]Datagram{batch(1, 200)}, 0, 0},
		{"30 in 5 ms", [][]Datagram{batch(30, 200)}, 5 * time.Millisecond, longestPause},
		{"40 in 5 ms", [][]Datagram{batch(32, 200), batch(8, 200)}, 5 * time.Millisecond, longestPause},
		{"more to read", [][]Datagram{batch(32, 200)}, 5 * time.Millisecond, 0},
		{"as much as there is room for", [][]Datagram{batch(16, room/16-datagramCost)}, 5 * time.Millisecond, longestPause},
		{"four times as much", [][]Datagram{batch(16, room/16-datagramCost), batch(16, room/16-datagramCost)}, 2500 * time.Microsecond, longestPause / 4},
	} {
		p, now := coalescer{room: room}, time.Now()
		p.pause(now)
		for _, b := range tt.batches {
			p.took(b, most)
		}
		if len(tt.batches) > 1 {
			p.more = false // the last one was not full
		}
		if got := p.pause(now.Add(tt.within)); got > tt.want || got < tt.want-time.Microsecond {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What was read before a full batch counts toward the rate after it.
func TestCoalescerCountsOn(t *testing.T) {
	t.Parallel()
	p, now := coalescer{room: 1 << 20}, time.Now()
	p.pause(now)
	p.took(make([]Datagram, 32), 32)
	if d := p.pause(now.Add(time.Millisecond)); d != 0 {
		t.Errorf("a pause of %v while there is more", d)
	}
	p.took(make([]Datagram, 1), 32)
	if d := p.pause(now.Add(50 * time.Millisecond)); d != longestPause {
		t.Errorf("%v, want %v: 33 came in 50 ms", d, longestPause)
	}
}
