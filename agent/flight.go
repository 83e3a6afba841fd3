package agent

import "time"

// flight is what was sent over one socket and is not covered by an answer yet. Events are never acknowledged,
// keepalives are, and in order: an answer to a keepalive says that the manager was there to take what was sent
// before it, and has taken it out of its socket's buffer.
//
//	events    ─ ─ ─ ─ P ─ ─ ─ ─ P ─ ─ ─ ─
//	          ◀ covered ▶◀ on the way   ▶      P keepalive; the first is answered
//
// An acknowledgement does not say which keepalive it is for. It is taken for the oldest one that may still be
// answered, so that a lost one makes us believe too little and never too much; the lost one is forgotten after
// answerWithin. The zero value is an idle flight.
type flight struct {
	sent     mark
	probed   mark // as of the last keepalive
	covered  mark // as of the last keepalive that was answered
	probes   []probe
	answered int    // keepalives answered, so far
	next     uint64 // number of the next probe
	doubtful bool   // a sign came that nobody takes what we send
	doubt    uint64 // the first probe whose answer ends the doubt
}

// mark is a point in what was sent.
type mark struct{ events, bytes uint64 }

// probe is a keepalive, or a startup message, that is not answered yet.
type probe struct {
	number uint64
	at     time.Time
	mark   mark
}

// event notes that an event of n bytes, unsealed, was sent.
func (f *flight) event(n int) {
	f.sent.events++
	f.sent.bytes += charge(n)
}

// charge is what a kernel charges at most for the datagram of a message of n bytes.
func charge(n int) uint64 { return uint64(n) + packetWrapped + packetCharge }

// room says whether an event of n bytes may be sent now.
func (f *flight) room(n int) bool {
	events, bytes := f.sent.events-f.covered.events, f.sent.bytes-f.covered.bytes
	return !f.doubtful && events < windowEvents && (bytes+charge(n) <= windowBytes || events == 0)
}

// wantsProbe says that half a window was used since the last probe.
func (f *flight) wantsProbe() bool {
	return f.sent.events-f.probed.events >= windowEvents/2 || f.sent.bytes-f.probed.bytes >= windowBytes/2
}

// probe notes that a message was sent which the manager acknowledges.
func (f *flight) probe(now time.Time) {
	if len(f.probes) == maxProbes {
		f.probes = append(f.probes[:0], f.probes[1:]...)
	}
	f.probes = append(f.probes, probe{f.next, now, f.sent})
	f.next++
	f.probed = f.sent
}

// answer notes an acknowledgement.
func (f *flight) answer(now time.Time) {
	p := f.probes
	for len(p) > 1 && now.Sub(p[0].at) > answerWithin {
		p = p[1:]
	}
	if len(p) == 0 {
		return // of a keepalive that was taken as lost
	}
	f.covered = p[0].mark
	f.answered++
	if p[0].number >= f.doubt {
		f.doubtful = false
	}
	f.probes = append(f.probes[:0], p[1:]...)
}

// refuse notes that the manager's host, or ours, said that nobody takes what we send. Nothing more is sent until
// the manager answers a keepalive. Whoever forges such a word gains no more than the delay of one answer.
func (f *flight) refuse() {
	f.doubtful = true
	f.doubt = f.next
}

// allCovered says that a keepalive was answered which was sent after the last event.
func (f *flight) allCovered() bool { return f.answered > 0 && f.covered == f.sent && !f.doubtful }

// unasked says that no keepalive is on the way whose answer would tell all there is to know.
func (f *flight) unasked() bool {
	n := len(f.probes)
	return n == 0 || f.probed != f.sent || (f.doubtful && f.probes[n-1].number < f.doubt)
}
