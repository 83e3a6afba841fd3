package eventlog

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// entry is one of the Event Log as Windows gives it.
type entry struct {
	xml     string // as rendered
	message string // as formatted for people; empty where the publisher has no text for it here
	user    account
}

// account is who an entry is about.
type account struct{ name, domain string }

// rendered is what is used of an entry's XML (the schema of http://schemas.microsoft.com/win/2004/08/events/event).
type rendered struct {
	XMLName xml.Name `xml:"Event"`
	System  struct {
		Provider struct {
			Name   string `xml:"Name,attr"`
			Source string `xml:"EventSourceName,attr"`
		}
		EventID     string
		Level       string
		Keywords    string
		TimeCreated struct {
			SystemTime string `xml:"SystemTime,attr"`
		}
		Channel  string
		Computer string
		Security struct {
			UserID string `xml:"UserID,attr"`
		}
	}
	EventData struct {
		Data []struct {
			Name string `xml:"Name,attr"`
			Text string `xml:",chardata"`
		}
	}
}

// Bits of Keywords.
const (
	auditFailure = 0x10000000000000
	auditSuccess = 0x20000000000000
)

const maxField = 256 // bytes of each field in front of the message

var errEntry = errors.New("no entry of the Event Log")

func parseEntry(text string) (*rendered, error) {
	var r rendered
	if err := xml.Unmarshal([]byte(text), &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errEntry, err)
	}
	if r.System.Channel == "" || r.System.EventID == "" {
		return nil, fmt.Errorf("%w: it lacks its channel or ID", errEntry)
	}
	return &r, nil
}

// line is an entry in the stock form, "YYYY Mon DD HH:MM:SS WinEvtLog: CHANNEL: LEVEL(ID): PROVIDER: USER: DOMAIN: COMPUTER: MESSAGE", all
// on one line, in local time; the text is the message.
func (e *entry) line() (head []byte, text string, err error) {
	r, err := parseEntry(e.xml)
	if err != nil {
		return nil, "", err
	}
	s := &r.System
	at, err := time.Parse(time.RFC3339Nano, s.TimeCreated.SystemTime)
	if err != nil {
		at = time.Now()
	}
	provider := s.Provider.Name
	if s.Provider.Source != "" {
		provider = s.Provider.Source
	}
	b := at.Local().AppendFormat(nil, "2006 Jan 02 15:04:05")
	b = fmt.Appendf(b, " WinEvtLog: %s: %s(%s): %s: %s: %s: %s: ", word(s.Channel, "-"), level(s.Level, s.Keywords), word(s.EventID, "0"),
		word(provider, "-"), word(e.user.name, "(no user)"), word(e.user.domain, "no domain"), word(s.Computer, "-"))
	return b, oneLine(e.text(r)), nil
}

// text is the message, or what the entry is made of where there is none.
func (e *entry) text(r *rendered) string {
	if strings.TrimSpace(e.message) != "" {
		return e.message
	}
	var b strings.Builder
	for _, d := range r.EventData.Data {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if d.Name != "" {
			b.WriteString(d.Name)
			b.WriteString(": ")
		}
		b.WriteString(d.Text)
	}
	if b.Len() == 0 {
		return "(no message)"
	}
	return b.String()
}

// level is the word of the stock form.
func level(level, keywords string) string {
	bits, _ := strconv.ParseUint(strings.TrimPrefix(keywords, "0x"), 16, 64)
	switch {
	case bits&auditFailure != 0:
		return "AUDIT_FAILURE"
	case bits&auditSuccess != 0:
		return "AUDIT_SUCCESS"
	}
	switch level {
	case "1":
		return "CRITICAL"
	case "2":
		return "ERROR"
	case "3":
		return "WARNING"
	case "5":
		return "VERBOSE"
	}
	return "INFORMATION"
}

// word is a field in front of the message: bounded, without control characters, and without what ends a field.
func word(s, instead string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), maxField)]))
	if s == "" {
		return instead
	}
	return strings.ReplaceAll(s, ": ", ":_")
}

// oneLine puts a blank in place of each row of blanks, tabs and line ends.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
