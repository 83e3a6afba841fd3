package source

import "bytes"

// Marks of a line that is larger than an event. Every piece but the last ends in the first, every piece but
// the first begins with the second.
const (
	Continues = " [ossecd: line continues]"
	Continued = "[ossecd: line continued] "
)

// IsHole says that a message is a line of NULs alone, or a piece of one that is larger than an event.
func IsHole(message []byte) bool {
	text := bytes.TrimSuffix(bytes.TrimPrefix(message, []byte(Continued)), []byte(Continues))
	return len(text) > 0 && len(bytes.TrimLeft(text, "\x00")) == 0
}
