package file

import (
	"bytes"

	"ossecd/manager/sink"
)

// appendArchives appends an event as in the archives.log of the stock analysis daemon:
//
//	2026 Nov 23 03:50:23 (web01) 10.0.0.7->/var/log/auth.log Nov 23 03:50:22 web01 sshd[123]: Failed password
//
// in local time. Control characters are written as in Go strings, so that an event is one line and cannot make itself
// another one's; the stock daemon drops them.
func appendArchives(b []byte, e *sink.Event) []byte {
	b = e.Time.Local().AppendFormat(b, "2006 Jan 02 15:04:05 ")
	if len(e.ID) > 0 {
		bare, _, _ := bytes.Cut(e.IP, []byte{'/'})
		b = append(b, '(')
		b = append(b, e.Name...)
		b = append(b, ") "...)
		b = append(b, bare...)
		b = append(b, "->"...)
	}
	b = appendVisible(b, e.Location)
	b = append(b, ' ')
	b = appendVisible(b, e.Message)
	return append(b, '\n')
}

// appendVisible appends s with its control characters, but for tabs, escaped: C0, DEL, and C1 in UTF-8.
func appendVisible(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	for i, c := range s {
		switch {
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < 0x20 && c != '\t', c == 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		case c >= 0x80 && c < 0xa0 && i > 0 && s[i-1] == 0xc2: // the second byte of U+0080 to U+009F
			b = append(b[:len(b)-1], `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}
