package listen

import (
	"container/list"
	"net/netip"
	"time"
)

const (
	// maxWaiting is how many connections may have no authentic message yet, and maxWaitingFrom how many of them one address. The oldest one
	// makes room for a newcomer: an agent needs a moment only, and so connections without a word keep none out.
	maxWaiting     = 2048
	maxWaitingFrom = 256

	// maxUnproven is the longest packet that a connection may begin before its first authentic message, which is a short one.
	maxUnproven = 16 << 10
)

// waiting are the connections that had no authentic message yet. Streams has the lock.
type waiting struct {
	all  *list.List                  // of *Stream, oldest first
	from map[netip.Prefix]*list.List // likewise, by address; an IPv6 host has a whole /64
}

func newWaiting() waiting { return waiting{list.New(), make(map[netip.Prefix]*list.List)} }

func prefixOf(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits)
	return p
}

// add adds a connection, and returns the one that is to make room for it, which waits no more; nil for none.
func (w *waiting) add(s *Stream, now time.Time) (out *Stream) {
	s.came = now
	p := prefixOf(s.from.Addr())
	same := w.from[p]
	if same == nil {
		same = list.New()
		w.from[p] = same
	}
	switch {
	case same.Len() >= maxWaitingFrom:
		out = same.Front().Value.(*Stream)
	case w.all.Len() >= maxWaiting:
		out = w.oldest()
	}
	if out != nil {
		w.remove(out)
		w.from[p] = same
	}
	s.place, s.placeFrom = w.all.PushBack(s), same.PushBack(s)
	return out
}

// oldest is the one that waits longest, or nil.
func (w *waiting) oldest() *Stream {
	if e := w.all.Front(); e != nil {
		return e.Value.(*Stream)
	}
	return nil
}

// remove takes a connection out, if it is there.
func (w *waiting) remove(s *Stream) {
	if s.place == nil {
		return
	}
	w.all.Remove(s.place)
	p := prefixOf(s.from.Addr())
	if same := w.from[p]; same != nil {
		same.Remove(s.placeFrom)
		if same.Len() == 0 {
			delete(w.from, p)
		}
	}
	s.place, s.placeFrom = nil, nil
}
