package channel

import (
	"bytes"
	"strings"

	"ossecd/agent/source"
)

func hasNUL(e *source.Event) bool {
	return bytes.IndexByte(e.Message, 0) >= 0 || strings.IndexByte(e.Location, 0) >= 0
}

// nuls is what is done with NULs in messages. A stock manager takes a message to end at the first one: what stands behind
// it would be lost, and a hole of NULs in a file would be an empty event. So it gets blanks, as from the stock agent, and no line of
// NULs alone. A manager that is an ossecd gets the bytes as they are.
type nuls struct {
	text    []byte // scratch
	dropped uint64 // lines of NULs alone, of the whole process
}

// blank is the location and message of an event as a stock manager takes them; false for one that is not sent to it.
func (n *nuls) blank(e *source.Event) (location string, message []byte, ok bool) {
	if source.IsHole(e.Message) {
		n.dropped++
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
