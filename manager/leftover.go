package manager

import (
	"strconv"
	"strings"
)

// sinkOfDir is the name of the sink that dirName made a name for.
func sinkOfDir(dir string) (string, bool) {
	var b strings.Builder
	for rest := dir; rest != ""; {
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
	return b.String(), dirName(b.String()) == dir
}
