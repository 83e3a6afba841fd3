package sink

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"ossecd/manager/journal"
)

// Event is one event as sinks see it. Its slices are parts of a record and must not be kept.
type Event struct {
	Time     time.Time // when the manager accepted it
	ID       []byte    // of the agent; empty for what concerns none
	Name     []byte    // likewise
	IP       []byte    // as in client.keys
	Key      uint64    // a fingerprint of the agent's key; 0 for what concerns none
	Labels   []byte    // of the agent, a JSON object; empty for none
	Source   []byte    // where its datagram came from, as text; empty for what the manager itself reports
	Queue    byte
	Location []byte
	Message  []byte
	Count    uint64 // the counter of its message, by which it is told from all others of the agent; 0 for reports
	Serial   uint64 // its number in the journal
	Action   []byte // what the manager itself reports; empty for an agent's event
	Number   uint64 // what the report counts, or 0
	Details  []byte // what else the report tells: members of a JSON object, joined by commas, or nothing

	early bool // an earlier version took it
}

// AppendIdentity appends what no two events of a manager have in common, and what stays the same however often an event is delivered. A power cut can
// take events from the journal that some sink has; others then get their numbers, at another time.
func (e *Event) AppendIdentity(b []byte) []byte {
	b = strconv.AppendUint(b, e.Serial, 36)
	if e.early { // which may have delivered it under its number alone
		return b
	}
	return strconv.AppendInt(append(b, '-'), e.Time.UnixNano(), 36)
}

// Actions of what the manager itself reports.
const (
	Connected    = "agent-connected"
	Disconnected = "agent-disconnected"
	Lost         = "events-lost"
	Cloned       = "agent-cloned"
	Still        = "agent-still-disconnected"
	ManyGone     = "agents-disconnected"       // many at once
	ManyStill    = "agents-still-disconnected" // likewise
)

// Actions are all of them.
var Actions = []string{Connected, Disconnected, Lost, Cloned, Still, ManyGone, ManyStill}

// own is the location of what the manager itself reports.
const own = "ossecd"

// A record is an event in the journal, behind the head that all records there have, numbers in little-endian order:
//
//	16 time, Unix ns   24 count or number   32 fingerprint of the agent's key   40 queue
//	41 length of source   42 of action   43 of ID   44 of name   45 of IP   46 of location (2 bytes)   48 of labels (2 bytes)   50 1 if an earlier version took it (2 bytes)
//	52 source, action, ID, name, IP, labels, location, message
//
// A report has its details where an event has its source.
const recordHead = 52

// appendHead appends the head of a record, which journal.Lot completes.
func appendHead(b []byte, at int64, number uint64, queue byte, source, action int, a *Agent, location int) []byte {
	b = append(b, make([]byte, journal.Head)...)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = binary.LittleEndian.AppendUint64(b, number)
	if a == nil {
		a = &nobody
	}
	b = binary.LittleEndian.AppendUint64(b, a.Key)
	b = append(b, queue, byte(source), byte(action), byte(len(a.ID)), byte(len(a.Name)), byte(len(a.IP)))
	b = binary.LittleEndian.AppendUint16(b, uint16(location))
	b = binary.LittleEndian.AppendUint16(b, uint16(a.labels))
	return append(b, 0, 0)
}

var nobody Agent

// maxText is the longest text in a record that is not location or message. Longer ones are cut; none is.
const maxText = 255

// MaxLabels is how many bytes an agent's labels have at most.
const MaxLabels = 4 << 10

// appendEvent appends the record of an agent's event.
func appendEvent(b []byte, a *Agent, at int64, count uint64, from netip.AddrPort, queue byte, location, message []byte) []byte {
	start := len(b)
	b = appendHead(b, at, count, queue, 0, 0, a, len(location))
	text := len(b)
	b = from.AppendTo(b)
	b = b[:min(len(b), text+maxText)]
	b[start+41] = byte(len(b) - text)
	b = append(b, a.identity...)
	b = append(b, location...)
	return append(b, message...)
}

// appendReport appends the record of what the manager itself reports. a may be nil.
func appendReport(b []byte, a *Agent, at int64, text string, r Report) []byte {
	details := r.Details
	if len(details) > maxText {
		details = "" // a part of it would be no JSON
	}
	b = appendHead(b, at, r.Number, '1', len(details), len(r.Action), a, len(own))
	b = append(b, details...)
	b = append(b, r.Action...)
	if a != nil {
		b = append(b, a.identity...)
	}
	b = append(b, own...)
	return append(b, text...)
}

// Batch is whole records, one after the other.
type Batch []byte

// Next takes the first event off the batch, or says that there is none. e points into the batch.
func (b *Batch) Next(e *Event) bool {
	r := *b
	if len(r) == 0 {
		return false
	}
	size := journal.Size(r)
	*b, r = r[size:], r[:size]
	number := binary.LittleEndian.Uint64(r[24:])
	*e = Event{Time: time.Unix(0, int64(binary.LittleEndian.Uint64(r[16:]))), Key: binary.LittleEndian.Uint64(r[32:]), Queue: r[40], Serial: journal.Number(r), early: r[50] != 0}
	rest := r[recordHead:]
	cut := func(n int) (part []byte) {
		part, rest = rest[:n:n], rest[n:]
		return part
	}
	e.Source, e.Action = cut(int(r[41])), cut(int(r[42]))
	e.ID, e.Name, e.IP = cut(int(r[43])), cut(int(r[44])), cut(int(r[45]))
	e.Labels = cut(int(binary.LittleEndian.Uint16(r[48:])))
	e.Location = cut(int(binary.LittleEndian.Uint16(r[46:])))
	e.Message = rest
	if len(e.Action) > 0 {
		e.Number = number
		e.Source, e.Details = nil, e.Source
	} else {
		e.Count = number
	}
	return true
}

// Origin is the key with which a record's event came, and the count of its message; nothing for what is no agent's event.
func Origin(record []byte) (key, count uint64) {
	if len(record) < recordHead || record[42] > 0 {
		return 0, 0
	}
	return binary.LittleEndian.Uint64(record[32:]), binary.LittleEndian.Uint64(record[24:])
}

// Len is the number of events in b.
func (b Batch) Len() (n int) {
	for ; len(b) > 0; n++ {
		b = b[journal.Size(b):]
	}
	return n
}

// reports says that b has reports.
func (b Batch) reports() bool {
	for ; len(b) > 0; b = b[journal.Size(b):] {
		if b[42] > 0 {
			return true
		}
	}
	return false
}

// cut returns what of b fits into size bytes, one record at least, how many records that is, and the number of the last of them.
func (b Batch) cut(size int) (first Batch, n int, last uint64) {
	end := 0
	for end < len(b) {
		next := end + journal.Size(b[end:])
		if n > 0 && next > size {
			break
		}
		last = journal.Number(b[end:])
		end = next
		n++
	}
	return b[:end], n, last
}

// first is the first n events of b, of which there are as many, and the number of the last of them.
func (b Batch) first(n int) (first Batch, last uint64) {
	end := 0
	for range n {
		last = journal.Number(b[end:])
		end += journal.Size(b[end:])
	}
	return b[:end], last
}
