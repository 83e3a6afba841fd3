package manager

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"ossecd/keys"
)

// Events are JSON lines, written out by hand: encoding/json takes some three times as long and allocates.

// appendAgent appends `"agent":{…}` for a key.
func appendAgent(b []byte, k keys.Key) []byte {
	b = append(b, `"agent":{"id":`...)
	b = appendString(b, []byte(k.ID))
	b = append(b, `,"name":`...)
	b = appendString(b, []byte(k.Name))
	b = append(b, `,"ip":`...)
	b = appendString(b, []byte(k.Address.String()))
	return append(b, '}')
}

// appendEvent appends the line of an agent's event. stamp is what appendTime gave, agent what appendAgent gave.
func appendEvent(b, stamp, agent []byte, source netip.AddrPort, queue byte, location, message []byte) []byte {
	b = append(b, `{"timestamp":"`...)
	b = append(b, stamp...)
	b = append(b, `",`...)
	b = append(b, agent...)
	b = append(b, `,"source":"`...)
	b = source.AppendTo(b)
	b = append(b, `","queue":`...)
	b = appendString(b, []byte{queue})
	b = appendField(b, "location", location)
	b = appendField(b, "full_log", message)
	return append(b, '}', '\n')
}

// appendOwn appends the line of something that the manager itself reports. agent may be nil; count is written
// where it is not 0.
func appendOwn(b []byte, now time.Time, agent []byte, text, action string, count uint64) []byte {
	b = append(b, `{"timestamp":"`...)
	b = appendTime(b, now)
	b = append(b, `",`...)
	if agent != nil {
		b = append(b, agent...)
		b = append(b, ',')
	}
	b = append(b, `"queue":"1","location":"ossecd"`...)
	b = appendField(b, "full_log", []byte(text))
	b = append(b, `,"event":{"action":"`...)
	b = append(b, action...)
	b = append(b, '"')
	if count > 0 {
		b = append(b, `,"count":`...)
		b = strconv.AppendUint(b, count, 10)
	}
	return append(b, '}', '}', '\n')
}

// appendField appends `,"name":"value"`, and `,"name_b64":"…"` with the exact bytes where value is not UTF-8.
func appendField(b []byte, name string, value []byte) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	b = appendString(b, value)
	if !utf8.Valid(value) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, `_b64":"`...)
		b = base64.StdEncoding.AppendEncode(b, value)
		b = append(b, '"')
	}
	return b
}

// plain are the bytes that stand for themselves in a JSON string: printable ASCII but the quote and backslash.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return
}()

// appendString appends s as a JSON string (RFC 8259, 7). Each byte that is not part of valid UTF-8 becomes
// U+FFFD. All control characters are escaped, DEL and U+0080 to U+009F among them, so that a line shown on a
// terminal cannot steer it.
func appendString(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && plain[s[i]] {
			i++
		}
		b = append(b, s[from:i]...)
		if i == len(s) {
			break
		}
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			r, n := utf8.DecodeRune(s[i:])
			if r < 0xa0 {
				b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
			} else {
				b = utf8.AppendRune(b, r) // U+FFFD, 1 byte read, for what is not UTF-8
			}
			i += n - 1
		}
		i++
	}
	return append(b, '"')
}

// appendTime appends t in UTC as RFC 3339 with microseconds.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(appendDigits(b, year, 4), '-')
	b = append(appendDigits(b, int(month), 2), '-')
	b = append(appendDigits(b, day, 2), 'T')
	b = append(appendDigits(b, hour, 2), ':')
	b = append(appendDigits(b, minute, 2), ':')
	b = append(appendDigits(b, second, 2), '.')
	return append(appendDigits(b, t.Nanosecond()/1000, 6), 'Z')
}

func appendDigits(b []byte, v, width int) []byte {
	n := len(b)
	b = append(b, "000000"[:width]...)
	for i := n + width - 1; i >= n; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}
