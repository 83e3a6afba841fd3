package sink

import (
	"net/netip"
	"time"
)

// Agent is an agent as sinks see it.
type Agent struct {
	ID, Name, IP string // of client.keys, as text

	identity []byte  // the three joined, and the labels, as in a record
	labels   int     // length of these
	called   string  // how the log calls one that is no agent and has no ID
	stakes   []stake // its part in each queue; guarded by the queue's mu but for shut, which never changes
}

// stake is an agent's part in a queue.
type stake struct {
	shut    bool   // the queue's filter lets nothing of it pass
	filling uint64 // of which filling bytes speaks
	bytes   int
	backlog uint64 // of which backlog on the disk stored speaks
	stored  int64
	lost    uint64     // events lost for being over the share, not reported yet
	floods  *complaint // nil until it lost some

	untold   uint64    // events lost of which the sinks for reports were not told
	nextTold time.Time // when they may be told again
}

// Lot is events that are handed over together. The zero Lot is an empty one.
type Lot struct {
	records []byte
	ends    []lotEnd
	pass    []bool // scratch of a filter
}

// lotEnd is where a record ends, and the agent to whose share it counts: nil for what the manager itself reports.
type lotEnd struct {
	at    int
	payer *Agent
}

// Event adds an event of a, which came with the message counted as count.
func (l *Lot) Event(a *Agent, at time.Time, count uint64, from netip.AddrPort, queue byte, location, message []byte) {
	l.records = appendEvent(l.records, a, at.UnixNano(), count, from, queue, location, message)
	l.ends = append(l.ends, lotEnd{len(l.records), a})
}

// Report is what stands in the event of a report besides its text.
type Report struct {
	Action  string
	Number  uint64 // what it counts, or 0
	Details string // as in Event; longer ones than 255 bytes are left out
}

// Report adds what the manager itself reports about an agent, or about none. It counts toward the share of payer: the
// agent itself where that can bring about as many as it likes, else nil.
func (l *Lot) Report(about, payer *Agent, at time.Time, text string, r Report) {
	l.records = appendReport(l.records, about, at.UnixNano(), text, r)
	l.ends = append(l.ends, lotEnd{len(l.records), payer})
}

// Len is the number of events.
func (l *Lot) Len() int { return len(l.ends) }

// Events are what is in the lot, until its next use.
func (l *Lot) Events() Batch { return l.records }

// Clear empties the lot for its next use.
func (l *Lot) Clear() { l.records, l.ends = l.records[:0], l.ends[:0] }
