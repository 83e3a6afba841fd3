package journald

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ossecd/agent/source"
)

// entry is a line of journalctl's JSON, as far as it is used.
type entry struct {
	Cursor     string `json:"__CURSOR"`
	Realtime   string `json:"__REALTIME_TIMESTAMP"` // microseconds since 1970
	Host       field  `json:"_HOSTNAME"`
	Identifier field  `json:"SYSLOG_IDENTIFIER"`
	Command    field  `json:"_COMM"`
	SyslogPID  field  `json:"SYSLOG_PID"`
	PID        field  `json:"_PID"`
	Message    field  `json:"MESSAGE"`
}

// field is a value of the journal. journalctl writes a string; an array of numbers where it is not UTF-8 or has control
// characters; an array of either where there are several, of which the first is taken; and null for one that it leaves
// out for its length.
type field []byte

// UnmarshalJSON implements json.Unmarshaler.
func (f *field) UnmarshalJSON(text []byte) error {
	*f = nil
	if len(text) == 0 {
		return errors.New("no value")
	}
	switch text[0] {
	case 'n':
		return nil
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		*f = []byte(s)
		return err
	case '[':
		return f.array(text)
	}
	return fmt.Errorf("%.20q is no value of a journal", text)
}

func (f *field) array(text []byte) error {
	inner := bytes.TrimLeft(text[1:], " \t\r\n")
	if len(inner) > 0 && (inner[0] == '"' || inner[0] == '[' || inner[0] == 'n') {
		var several []json.RawMessage // one at least
		if err := json.Unmarshal(text, &several); err != nil {
			return err
		}
		if several[0][0] == '[' {
			return json.Unmarshal(several[0], (*[]byte)(f))
		}
		return f.UnmarshalJSON(several[0])
	}
	return json.Unmarshal(text, (*[]byte)(f))
}

var (
	errEntry = errors.New("no entry of the journal")
	errEmpty = errors.New("without a message")
)

// parseEntry reads a line. errEmpty comes with an entry that has a cursor but nothing to tell.
func parseEntry(line []byte) (e entry, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("%w: %w", errEntry, err)
	}
	if e.Cursor == "" || !isCursor(e.Cursor) {
		return e, fmt.Errorf("%w: the cursor is %.40q", errEntry, e.Cursor)
	}
	if len(e.Message) == 0 {
		return e, errEmpty
	}
	return e, nil
}

// head is what stands in front of the message: "YYYY-MM-DDTHH:MM:SS+HH:MM HOST IDENTIFIER[PID]: ".
func (e *entry) head(host string, zone *time.Location) []byte {
	micros, _ := strconv.ParseInt(e.Realtime, 10, 64)
	b := time.UnixMicro(micros).In(zone).AppendFormat(nil, "2006-01-02T15:04:05-07:00")
	b = append(b, ' ')
	b = appendWord(b, e.Host, host)
	b = append(b, ' ')
	b = appendWord(b, e.Identifier, string(appendWord(nil, e.Command, "unknown")))
	if pid := first(e.SyslogPID, e.PID); len(pid) > 0 && len(bytes.Trim(pid, "0123456789")) == 0 && len(pid) <= 10 {
		b = append(b, '[')
		b = append(b, pid...)
		b = append(b, ']')
	}
	return append(b, ": "...)
}

func first(a, b field) field {
	if len(a) > 0 {
		return a
	}
	return b
}

const maxWord = 128 // bytes of a host's or program's name in an event

// appendWord appends a name as one word without control characters, or instead of an empty one another.
func appendWord(b []byte, word field, instead string) []byte {
	if len(word) == 0 {
		return append(b, instead...)
	}
	for _, c := range word[:min(len(word), maxWord)] {
		if c <= ' ' || c == 0x7f {
			c = '_'
		}
		b = append(b, c)
	}
	return b
}

// appendEvents appends the events of an entry: one, or as many as its message needs, each with the head.
func (e *entry) appendEvents(events []source.Event, head []byte, location string, max int) []source.Event {
	room := source.Room(max, location) - len(head)
	message := bytes.TrimRight(e.Message, "\n")
	for {
		n := min(len(message), room)
		text := append(head[:len(head):len(head)], message[:n]...)
		events = append(events, source.Event{Queue: '1', Location: location, Message: text})
		if message = message[n:]; len(message) == 0 {
			return events
		}
	}
}
