package channel

import (
	"math/bits"
	"time"

	"ossecd/proto"
)

const (
	// window bounds what is on the way without a sign that the manager's host took it in, in bytes as a Linux kernel
	// charges them: 115 short lines. A socket buffers 212,992 bytes by default, of which up to a quarter may still be
	// charged for what was read already; the rest is left for keepalives and the agents next to us. Half of the window is
	// probed ahead, so that the answer is there before the other half is used up.
	window        = 144 << 10
	packetRecord  = 256 // the kernel's record of a datagram
	packetHead    = 448 // what it keeps beside the data, in the same piece of memory, whose size is a power of two
	packetLeast   = 1 << 10
	packetWrapped = 160 // what sealing adds to a message at most

	// A keepalive that was not answered in twice the time that answers take is given up when another answer
	// comes: so many seconds while that time is not known, and never less or more than this. Giving up too
	// early opens the window before its time, too late keeps it shut while answers are lost.
	answerFirst = 2 * time.Second
	answerLeast = 250 * time.Millisecond
	answerMost  = 10 * time.Second

	// maxProbes bounds the unanswered keepalives that are remembered. Those of the longest silence fit.
	maxProbes = 64
)

// flight is what was sent over one socket and is not covered by an answer yet. Events are never acknowledged,
// keepalives are, and in order: an answer to a keepalive says that the manager was there to take what was sent
// before it, and has taken it out of its socket's buffer.
//
//	events    ─ ─ ─ ─ P ─ ─ ─ ─ P ─ ─ ─ ─
//	          ◀ covered ▶◀ on the way   ▶      P keepalive; the first is answered
//
// An acknowledgement of an ossecd names its keepalive. That of a stock manager does not, and is taken for the oldest one that may still be
// answered, so that one that was lost makes us believe too little rather than too much; a keepalive is given up
// when a later one is answered after more than twice the usual time. The zero value is an idle flight.
type flight struct {
	sent     uint64 // bytes charged for all events
	probed   uint64 // of them, those before the last keepalive
	covered  uint64 // of them, those before the last keepalive that was answered
	probes   []probe
	answered int           // keepalives answered, so far
	answers  time.Duration // what answers took of late, 0 while that is not known
	next     uint64        // number of the next probe
	doubtful bool          // a sign came that nobody takes what we send
	doubt    uint64        // the first probe whose answer ends the doubt

	coveredCount uint64 // of the last keepalive that was answered: what was sent with a lower one has arrived
}

// probe is a keepalive, or a startup message, that is not answered yet.
type probe struct {
	number uint64
	at     time.Time
	sent   uint64 // as of then
	count  uint64 // that it was sent with
}

// event notes that an event was sent in a datagram of n bytes.
func (f *flight) event(n int) { f.sent += charge(n) }

// charge is what a kernel charges at most for a datagram of n bytes.
func charge(n int) uint64 {
	return packetRecord + max(uint64(1)<<bits.Len64(uint64(n)+packetHead-1), packetLeast)
}

// room says whether an event of n bytes, not sealed yet, may be sent now.
func (f *flight) room(n int) bool {
	used := f.sent - f.covered
	return !f.doubtful && (used+charge(n+packetWrapped) <= window || used == 0)
}

// wantsProbe says that half a window was used since the last probe.
func (f *flight) wantsProbe() bool { return f.sent-f.probed >= window/2 }

// probe notes that a message was sent, with this count, which the manager acknowledges.
func (f *flight) probe(now time.Time, count uint64) {
	if len(f.probes) == maxProbes {
		f.probes = append(f.probes[:0], f.probes[1:]...)
	}
	f.probes = append(f.probes, probe{f.next, now, f.sent, count})
	f.next++
	f.probed = f.sent
}

// answer notes an acknowledgement, by what stands behind it, and returns how many keepalives are given up at it. known is false where it names
// one that is not waited for, so that it says nothing.
func (f *flight) answer(now time.Time, behind []byte) (unanswered int, known bool) {
	run, _ := proto.ParseRun(behind)
	if run.Of == (proto.Counter{}) {
		return f.cover(now, f.guess(now)), true
	}
	for i := range f.probes {
		if f.probes[i].count == run.Of.Value() {
			return f.cover(now, f.probes[i:]), true
		}
	}
	return 0, false
}

// guess is the unanswered keepalives from the one on that an acknowledgement is for which names none.
func (f *flight) guess(now time.Time) []probe {
	late := answerFirst
	if f.answers > 0 {
		late = min(max(2*f.answers, answerLeast), answerMost)
	}
	p := f.probes
	if len(p) > 0 && now.Sub(p[len(p)-1].at) <= late { // else none was answered for so long: the manager rested, and goes on with the oldest
		for now.Sub(p[0].at) > late {
			p = p[1:]
		}
	}
	return p
}

// cover notes that the first of p, the last of the unanswered keepalives, is answered. Those before it are given up.
func (f *flight) cover(now time.Time, p []probe) (unanswered int) {
	if len(p) == 0 {
		return 0 // of a keepalive that was given up
	}
	if took := now.Sub(p[0].at); took > f.answers {
		f.answers = took
	} else {
		f.answers -= (f.answers - took) / 8
	}
	f.covered, f.coveredCount = p[0].sent, p[0].count
	f.answered++
	if p[0].number >= f.doubt {
		f.doubtful = false
	}
	unanswered = len(f.probes) - len(p)
	f.probes = append(f.probes[:0], p[1:]...)
	return unanswered
}

// restart begins anew with a manager that was gone meanwhile: nothing that was sent so far counts, and answers that are
// still to come say nothing about what is sent from now on.
func (f *flight) restart() {
	for i := range f.probes {
		f.probes[i].sent = 0
	}
	f.sent, f.probed, f.covered = 0, 0, 0
}

// refuse notes that the manager's host, or ours, said that nobody takes what we send. Nothing more is sent until
// the manager answers a keepalive. Whoever forges such a word gains no more than the delay of one answer.
func (f *flight) refuse() {
	if !f.doubtful {
		f.doubtful, f.doubt = true, f.next
	}
}

// allCovered says that a keepalive was answered which was sent after the last event.
func (f *flight) allCovered() bool { return f.answered > 0 && f.covered == f.sent && !f.doubtful }

// unasked says that no keepalive is on the way whose answer would tell all there is to know.
func (f *flight) unasked() bool {
	n := len(f.probes)
	return n == 0 || f.probed != f.sent || (f.doubtful && f.probes[n-1].number < f.doubt)
}
