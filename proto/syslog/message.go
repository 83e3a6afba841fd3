package syslog

import "bytes"

// Strip takes from a message its priority, "<0>" to "<191>", what ends it, which are line ends and NULs, and a byte order mark at its beginning.
func Strip(m []byte) []byte {
	m = bytes.TrimPrefix(bytes.TrimRight(m, "\r\n\x00"), []byte(mark))
	if len(m) < 3 || m[0] != '<' {
		return m
	}
	n := 0
	for i := 1; i < min(len(m), 5); i++ {
		switch c := m[i]; {
		case '0' <= c && c <= '9':
			n = 10*n + int(c-'0')
		case c == '>' && i > 1 && n <= maxPriority:
			return m[i+1:]
		default:
			return m
		}
	}
	return m
}

const maxPriority = 23*8 + 7
