package sink

import (
	"net/netip"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/journal"
)

// Agent is an agent as sinks see it.
type Agent struct {
	ID, Name, IP string // of client.keys, as text

	identity []byte // the three joined, and the labels, as in a record
	labels   int    // length of these
	Key      uint64 // a fingerprint of its key
	called   string // how the log calls one that is no agent and has no ID

	account journal.Account
	told    limitlog.Limit // of its losses; of the goroutine that tells
}

// NewAgent makes an agent as sinks see it.
func NewAgent(id, name, ip string) *Agent {
	cut := func(s string) string { return s[:min(len(s), maxText)] }
	a := &Agent{ID: cut(id), Name: cut(name), IP: cut(ip)}
	a.identity = []byte(a.ID + a.Name + a.IP)
	a.account.Owner = a
	return a
}

// NewSender makes a source of events that is no agent, which has a share as an agent has.
func NewSender(called string) *Agent {
	a := NewAgent("", "", "")
	a.called = called
	return a
}

// SetLabels gives an agent labels, a JSON object of MaxLabels at most. Nothing may have been said of it yet.
func (a *Agent) SetLabels(object []byte) {
	a.identity = append([]byte(a.ID+a.Name+a.IP), object...)
	a.labels = len(object)
}

// Lost is how many events of the agent the journal has not taken.
func (a *Agent) Lost() uint64 { return a.account.Lost() }

// Lot is events that are handed over together. The zero Lot is an empty one.
type Lot struct{ records journal.Lot }

// Event adds an event of a, which came with the message counted as count.
func (l *Lot) Event(a *Agent, at time.Time, count uint64, from netip.AddrPort, queue byte, location, message []byte) {
	l.records.Records = appendEvent(l.records.Records, a, at.UnixNano(), count, from, queue, location, message)
	l.records.End(&a.account)
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
	l.records.Records = appendReport(l.records.Records, about, at.UnixNano(), text, r)
	if payer == nil {
		l.records.End(nil)
	} else {
		l.records.End(&payer.account)
	}
}

// Len is the number of events.
func (l *Lot) Len() int { return l.records.Len() }

// Events are what is in the lot, until its next use.
func (l *Lot) Events() Batch { return l.records.Records }

// Clear empties the lot for its next use.
func (l *Lot) Clear() { l.records.Clear() }
