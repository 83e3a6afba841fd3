package socket

import (
	"bytes"

	"ossecd/agent/source"
)

// parse reads QUEUE:LOCATION:MESSAGE, and the NUL that the stock collectors leave behind it. The message is part of p, and may be empty. The
// queue is a letter or a digit: a "#" could make of an event what a manager takes for a control message.
func parse(p []byte) (e source.Event, ok bool) {
	p = bytes.TrimSuffix(p, []byte{0})
	if len(p) < 2 || p[1] != ':' || !isQueue(p[0]) {
		return e, false
	}
	location, message, ok := bytes.Cut(p[2:], []byte(":"))
	if !ok || len(location) == 0 || len(location) > maxLocation {
		return e, false
	}
	return source.Event{Queue: p[0], Location: string(location), Message: message}, true
}

func isQueue(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
