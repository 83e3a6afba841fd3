package proto

import "bytes"

// Event is a record of an agent (docs/protocol.md, "Events").
type Event struct {
	Queue    byte
	Location []byte
	Message  []byte
}

// ParseEvent reads "QUEUE:LOCATION:MESSAGE". The slices are parts of p. The location ends at the first colon;
// in Wazuh's dialect at the first one that is not escaped, and p is changed in place where an escape is undone.
// An empty location or message is taken; a missing one is ErrMalformed.
func ParseEvent(p []byte, d Dialect) (Event, error) {
	if len(p) < 2 || p[1] != ':' {
		return Event{}, ErrMalformed
	}
	rest := p[2:]
	end := bytes.IndexByte(rest, ':')
	if end < 0 {
		return Event{}, ErrMalformed
	}
	if d != Wazuh || bytes.IndexByte(rest[:end], '|') < 0 {
		return Event{Queue: p[0], Location: rest[:end], Message: rest[end+1:]}, nil
	}
	n := 0
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == ':':
			return Event{Queue: p[0], Location: rest[:n], Message: rest[i+1:]}, nil
		case rest[i] == '|' && i+1 < len(rest) && (rest[i+1] == '|' || rest[i+1] == ':'):
			i++
		}
		rest[n] = rest[i]
		n++
	}
	return Event{}, ErrMalformed
}

// AppendEvent appends "QUEUE:LOCATION:MESSAGE" to dst. A colon in the location, which would end it early, is
// escaped in Wazuh's dialect and becomes "_" in OSSEC's, which knows no escape.
func AppendEvent(dst []byte, queue byte, location string, message []byte, d Dialect) []byte {
	dst = append(dst, queue, ':')
	for i := range len(location) {
		c := location[i]
		switch {
		case d == Wazuh && (c == ':' || c == '|'):
			dst = append(dst, '|')
		case c == ':':
			c = '_'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	return append(dst, message...)
}
