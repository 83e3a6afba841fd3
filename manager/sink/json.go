package sink

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"ossecd/proto/printable"
)

// JSON makes JSON lines of events, by hand: encoding/json takes some three times as long and allocates. The zero value is
// ready; it is for one goroutine.
type JSON struct {
	at    time.Time
	stamp []byte // at, as it stands in a line
}

// Append appends the line of an event, with its line end.
func (j *JSON) Append(b []byte, e *Event) []byte {
	if !e.Time.Equal(j.at) || j.stamp == nil { // events of a batch have the same time
		j.at, j.stamp = e.Time, appendTime(j.stamp[:0], e.Time)
	}
	b = append(b, `{"timestamp":"`...)
	b = append(b, j.stamp...)
	b = append(b, '"')
	if len(e.ID) > 0 {
		b = append(b, `,"agent":{"id":`...)
		b = AppendString(b, e.ID)
		b = append(b, `,"name":`...)
		b = AppendString(b, e.Name)
		b = append(b, `,"ip":`...)
		b = AppendString(b, e.IP)
		if len(e.Labels) > 0 {
			b = append(b, `,"labels":`...)
			b = append(b, e.Labels...)
		}
		b = append(b, '}')
	}
	if len(e.Source) > 0 {
		b = append(b, `,"source":`...)
		b = AppendString(b, e.Source)
	}
	b = append(b, `,"queue":`...)
	b = AppendString(b, []byte{e.Queue})
	b = appendField(b, "location", e.Location)
	b = appendField(b, "full_log", e.Message)
	if len(e.Action) > 0 {
		b = append(b, `,"event":{"action":`...)
		b = AppendString(b, e.Action)
		if e.Number > 0 {
			b = append(b, `,"count":`...)
			b = strconv.AppendUint(b, e.Number, 10)
		}
		if len(e.Details) > 0 {
			b = append(b, ',')
			b = append(b, e.Details...)
		}
		b = append(b, '}')
	}
	return append(b, '}', '\n')
}

// Member appends a member of a JSON object, with a comma before it where it is not the first: so details of reports, and labels,
// are made.
func Member[T string | time.Time | int | float64](b []byte, name string, value T) []byte {
	if len(b) > 0 && b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(AppendString(b, []byte(name)), ':')
	switch v := any(value).(type) {
	case string:
		return AppendString(b, []byte(v))
	case time.Time:
		return append(appendTime(append(b, '"'), v), '"')
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	default:
		return strconv.AppendFloat(b, math.Round(v.(float64)*1000)/1000, 'f', -1, 64)
	}
}

// appendField appends `,"name":"value"`, and `,"name_b64":"…"` with the exact bytes where value is not UTF-8.
func appendField(b []byte, name string, value []byte) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	b = AppendString(b, value)
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

// AppendString appends s as a JSON string (RFC 8259, 7). Each byte that is not part of valid UTF-8 becomes
// U+FFFD. All control characters are escaped, DEL and U+0080 to U+009F among them, and what turns the direction of writing, so that a line
// shown on a terminal cannot steer it.
func AppendString(b, s []byte) []byte {
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
			if printable.Steers(r) {
				b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
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
