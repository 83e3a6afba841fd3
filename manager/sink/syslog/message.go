package syslog

import (
	"strconv"
	"unicode/utf8"

	"ossecd/manager/sink"
)

// enterprise is the number of the structured data, which is the one that RFC 5612 keeps for examples: ossecd has none.
const enterprise = "32473"

// stampForm is the TIMESTAMP of RFC 5424, 6.2.3.
const stampForm = "2006-01-02T15:04:05.000000Z07:00"

// appendMessage appends an event as a message of RFC 5424 of at most limit bytes, and says whether it had to be cut:
//
//	<86>1 2026-11-22T15:24:33.651004Z web01 ossecd - - [ossecd@32473 id="001" name="web01" ip="any" source="10.0.0.7:40112" queue="1" location="/var/log/auth.log"] Nov 22 …
//
// HOSTNAME is the agent's name; the manager's own reports have the action as MSGID.
func appendMessage(b []byte, e *sink.Event, priority, limit int) (_ []byte, cut bool) {
	start := len(b)
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(priority), 10)
	b = append(b, ">1 "...)
	b = e.Time.UTC().AppendFormat(b, stampForm)
	b = append(b, ' ')
	b = appendWord(b, e.Name)
	b = append(b, " ossecd - "...)
	b = appendWord(b, e.Action)
	b = append(b, " [ossecd@"+enterprise...)
	b = appendParam(b, "id", e.ID)
	b = appendParam(b, "name", e.Name)
	b = appendParam(b, "ip", e.IP)
	b = appendParam(b, "source", e.Source)
	b = appendParam(b, "queue", []byte{e.Queue})
	location := e.Location
	if len(location) > maxLocation {
		location, cut = location[:maxLocation], true
	}
	b = appendParam(b, "location", location)
	if e.Number > 0 {
		b = append(b, ` count="`...)
		b = strconv.AppendUint(b, e.Number, 10)
		b = append(b, '"')
	}
	b = append(b, ']')
	if len(e.Message) > 0 {
		b = append(b, ' ')
		b = appendText(b, e.Message, false)
	}
	if len(b)-start > limit {
		b, cut = b[:start+limit], true
		for !endsWhole(b) {
			b = b[:len(b)-1]
		}
	}
	return b, cut
}

// maxLocation bounds a location, so that the structured data, which must be whole, fits into every limit.
const maxLocation = 128

// endsWhole says that the last character of b is whole.
func endsWhole(b []byte) bool {
	r, n := utf8.DecodeLastRune(b)
	return r != utf8.RuneError || n > 1
}

// appendWord appends a header field: printable ASCII without blanks, or "-" for nothing.
func appendWord(b, s []byte) []byte {
	if len(s) == 0 {
		return append(b, '-')
	}
	for _, c := range s {
		if c <= ' ' || c >= 0x7f {
			c = '_'
		}
		b = append(b, c)
	}
	return b
}

// appendParam appends a parameter of structured data; none where it is empty.
func appendParam(b []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, '=', '"')
	b = appendText(b, value, true)
	return append(b, '"')
}

// appendText appends UTF-8: each byte of s that is none becomes U+FFFD. Control characters, which must not reach a terminal
// or end a line, become "#" and three octal digits, as syslog daemons write them. In parameters '"', '\' and ']' are escaped
// with '\' (RFC 5424, 6.3.3).
func appendText(b, s []byte, param bool) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		i += n
		switch {
		case r < 0x20 && r != '\t', r >= 0x7f && r < 0xa0:
			b = append(b, '#', byte('0'+r>>6), byte('0'+r>>3&7), byte('0'+r&7))
		case param && (r == '"' || r == '\\' || r == ']'):
			b = append(b, '\\', byte(r))
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}
