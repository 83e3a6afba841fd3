package sink

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Event is one event as sinks see it. Its slices are parts of a record and must not be kept.
type Event struct {
	Time     time.Time // when the manager accepted it
	ID       []byte    // of the agent; empty for what concerns none
	Name     []byte    // likewise
	IP       []byte    // as in client.keys
	Labels   []byte    // of the agent, a JSON object; empty for none
	Source   []byte    // where its datagram came from, as text; empty for what the manager itself reports
	Queue    byte
	Location []byte
	Message  []byte
	Count    uint64 // the counter of its message, by which it is told from all others of the agent; 0 for reports
	Serial   uint64 // no two events of a manager have the same, those of its earlier runs among them
	Action   []byte // what the manager itself reports; empty for an agent's event
	Number   uint64 // what the report counts, or 0
	Details  []byte // what else the report tells: members of a JSON object, joined by commas, or nothing
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

// A record is an event in a queue, numbers in little-endian order:
//
//	0  size of the whole   4  time, Unix ns   12  count or number   20  queue
//	21 length of source    22 of action   23 of ID   24 of name   25 of IP   26 of location (2 bytes)   28 of labels (2 bytes)
//	30 serial, set by stamp
//	38 source, action, ID, name, IP, labels, location, message
//
// A report has its details where an event has its source.
const recordHead = 38

// appendHead appends the head of a record, whose size is set by finish.
func appendHead(b []byte, at int64, number uint64, queue byte, source, action int, a *Agent, location int) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = binary.LittleEndian.AppendUint64(b, number)
	b = append(b, queue, byte(source), byte(action))
	lengths := uint32(location)
	if a != nil {
		b = append(b, byte(len(a.ID)), byte(len(a.Name)), byte(len(a.IP)))
		lengths |= uint32(a.labels) << 16
	} else {
		b = append(b, 0, 0, 0)
	}
	b = binary.LittleEndian.AppendUint32(b, lengths)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0)
}

// stamp gives a record its serial.
func stamp(record []byte, serial uint64) { binary.LittleEndian.PutUint64(record[30:], serial) }

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
	b[start+21] = byte(len(b) - text)
	b = append(b, a.identity...)
	b = append(b, location...)
	b = append(b, message...)
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendReport appends the record of what the manager itself reports. a may be nil.
func appendReport(b []byte, a *Agent, at int64, text string, r Report) []byte {
	start := len(b)
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
	b = append(b, text...)
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// Batch is whole records, one after the other.
type Batch []byte

// Next takes the first event off the batch, or says that there is none. e points into the batch.
func (b *Batch) Next(e *Event) bool {
	r := *b
	if len(r) == 0 {
		return false
	}
	size := recordSize(r)
	*b, r = r[size:], r[:size]
	number := binary.LittleEndian.Uint64(r[12:])
	*e = Event{Time: time.Unix(0, int64(binary.LittleEndian.Uint64(r[4:]))), Queue: r[20], Serial: binary.LittleEndian.Uint64(r[30:])}
	rest := r[recordHead:]
	cut := func(n int) (part []byte) {
		part, rest = rest[:n:n], rest[n:]
		return part
	}
	e.Source, e.Action = cut(int(r[21])), cut(int(r[22]))
	e.ID, e.Name, e.IP = cut(int(r[23])), cut(int(r[24])), cut(int(r[25]))
	e.Labels = cut(int(binary.LittleEndian.Uint16(r[28:])))
	e.Location = cut(int(binary.LittleEndian.Uint16(r[26:])))
	e.Message = rest
	if len(e.Action) > 0 {
		e.Number = number
		e.Source, e.Details = nil, e.Source
	} else {
		e.Count = number
	}
	return true
}

// Len is the number of events in b.
func (b Batch) Len() (n int) {
	for ; len(b) > 0; n++ {
		b = b[recordSize(b):]
	}
	return n
}

// recordSize is the size of the first record.
func recordSize(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

// cut returns what of b fits into size bytes, one record at least, and how many records that is.
func (b Batch) cut(size int) (first Batch, n int) {
	end := 0
	for end < len(b) {
		next := end + recordSize(b[end:])
		if n > 0 && next > size {
			break
		}
		end = next
		n++
	}
	return b[:end], n
}

// skip is b without its first n events.
func (b Batch) skip(n int) Batch {
	for range n {
		b = b[recordSize(b):]
	}
	return b
}
