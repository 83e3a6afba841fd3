package agent

import (
	"bytes"
	"strings"

	"ossecd/agent/source"
)

// nuls is what the session does with NULs in messages. A stock manager takes a message to end at the first one: what stands behind
// it would be lost, and a hole of NULs in a file would be an empty event. So it gets blanks, as from the stock agent, and no line of
// NULs alone. A manager that is an ossecd gets the bytes as they are.
type nuls struct {
	formKnown bool   // a keepalive was answered over this socket, which shows whether the manager is
	ours      bool   // it is an ossecd
	text      []byte // scratch
	dropped   uint64 // lines of NULs alone, of the whole process
}

// awaitsForm says that the next event has a NUL and it is not known yet what the manager takes. The answer to the first keepalive
// tells, and that was sent before any event.
func (s *session) awaitsForm() bool {
	if s.nuls.formKnown {
		return false
	}
	e := s.out.Next()
	return e != nil && hasNUL(e)
}

func hasNUL(e *source.Event) bool {
	return bytes.IndexByte(e.Message, 0) >= 0 || strings.IndexByte(e.Location, 0) >= 0
}

// stockText is the location and message of an event as the manager takes it; false for one that is not sent to it.
func (s *session) stockText(e *source.Event) (location string, message []byte, ok bool) {
	n := &s.nuls
	if n.ours || !hasNUL(e) {
		return e.Location, e.Message, true
	}
	if source.IsHole(e.Message) {
		n.dropped++
		s.limited.Warn("lines of NULs only are not sent to a stock manager", "location", e.Location, "dropped", n.dropped,
			"remedy", "none needed: such a hole stands in a file after a crash of its host, or behind a writer that goes on after a truncation")
		return "", nil, false
	}
	n.text = append(n.text[:0], e.Message...)
	for i, c := range n.text {
		if c == 0 {
			n.text[i] = ' '
		}
	}
	return strings.ReplaceAll(e.Location, "\x00", " "), n.text, true
}
