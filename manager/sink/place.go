package sink

import (
	"fmt"
	"strconv"
	"strings"
)

// PlaceOf is a name for the file or directory of a sink: letters, digits, "-" and "_" stand for themselves, and other bytes for their number.
func PlaceOf(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

// NameOf is the name of the sink that PlaceOf made a name for.
func NameOf(place string) (string, bool) {
	var b strings.Builder
	for rest := place; rest != ""; {
		if rest[0] != '=' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return "", false
		}
		c, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		rest = rest[3:]
	}
	return b.String(), PlaceOf(b.String()) == place
}
