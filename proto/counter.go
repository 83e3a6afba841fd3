package proto

// localMax is the last local count; after G:9997 comes G+1:1 (docs/protocol.md, "The secured message").
const localMax = 9997

// Counter is the message count that each side raises by one a message. Both parts only ever grow when read as
// global × 10,000 + local, with gaps of 3 between one global and the next.
type Counter struct {
	Global uint32
	Local  uint32 // 0 to 9,999 on the wire; senders use 1 to 9,997
}

// Next is the count of the message after the one that has count c. After the last of all it wraps to 0:1.
func (c Counter) Next() Counter {
	if c.Local >= localMax {
		return Counter{c.Global + 1, 1}
	}
	return Counter{c.Global, c.Local + 1}
}

// Value is the count as one number that orders all counts.
func (c Counter) Value() uint64 { return uint64(c.Global)*10_000 + uint64(c.Local) }

// CounterAt is the counter that has value v.
func CounterAt(v uint64) Counter { return Counter{uint32(v / 10_000), uint32(v % 10_000)} }
