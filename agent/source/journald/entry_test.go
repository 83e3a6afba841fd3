package journald

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// What journalctl of systemd 252 wrote, with --all and the fields that are asked for.
var samples = []struct{ name, line, want string }{
	{"syslog with a number", `{"MESSAGE":"Failed password for x","_PID":"12","SYSLOG_PID":"12","__REALTIME_TIMESTAMP":"1795407144435379","SYSLOG_IDENTIFIER":"sshd","_HOSTNAME":"vm","_BOOT_ID":"47fddb498c1e45ea84b238df8e7cce3a","_COMM":"logger","__CURSOR":"s=4e3dc7d300554c999f5d38aca9e38881;i=159;b=47fddb498c1e45ea84b238df8e7cce3a;m=46b2d2f83;t=660e9cd123eb3;x=e4c5a6af0e3ad244","__MONOTONIC_TIMESTAMP":"18977992579"}`,
		"2026-11-23T09:42:24+05:30 vm sshd[12]: Failed password for x"},
	{"not ASCII", `{"MESSAGE":"plain \u00e9","_PID":"13","__REALTIME_TIMESTAMP":"1795407144435379","SYSLOG_IDENTIFIER":"noid","_HOSTNAME":"vm","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 vm noid[13]: plain é"},
	{"two lines", `{"MESSAGE":"line one\nline two\n","__REALTIME_TIMESTAMP":"1795407144435379","SYSLOG_IDENTIFIER":"py","_HOSTNAME":"vm","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 vm py: line one\nline two"},
	{"bytes", `{"MESSAGE":[98,105,110,32,255,0,32,98,121,116,101,115],"SYSLOG_PID":"77","_PID":"18","__REALTIME_TIMESTAMP":"1795407144435379","SYSLOG_IDENTIFIER":"py","_HOSTNAME":"vm","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 vm py[77]: bin \xff\x00 bytes"},
	{"several", `{"MESSAGE":["first","second"],"__REALTIME_TIMESTAMP":"1795407144435379","SYSLOG_IDENTIFIER":"multi","_HOSTNAME":"vm","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 vm multi: first"},
	{"several of bytes", `{"MESSAGE":[[102,255],"second"],"__REALTIME_TIMESTAMP":"1795407144435379","SYSLOG_IDENTIFIER":"multi","_HOSTNAME":"vm","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 vm multi: f\xff"},
	{"no identifier", `{"MESSAGE":"no ident at all","_COMM":"python3","_PID":"18","__REALTIME_TIMESTAMP":"1795407144435379","_HOSTNAME":"vm","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 vm python3[18]: no ident at all"},
	{"no name", `{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1795407144435379","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 here unknown: x"},
	{"names that are none", `{"MESSAGE":"x","_HOSTNAME":"a b","SYSLOG_IDENTIFIER":"(sd\npam)","_PID":"1]: 2","__REALTIME_TIMESTAMP":"1795407144435379","__CURSOR":"i=1"}`,
		"2026-11-23T09:42:24+05:30 a_b (sd_pam): x"},
}

var zone = time.FixedZone("", 5*3600+1800)

func TestSamples(t *testing.T) {
	t.Parallel()
	for _, tt := range samples {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := parseEntry([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			events := e.appendEvents(nil, e.head("here", zone), "journald", 6016)
			if len(events) != 1 || string(events[0].Message) != tt.want {
				t.Errorf("got  %q\nwant %q", events, tt.want)
			}
		})
	}
}

func TestNothingToTell(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"", `,"MESSAGE":null`, `,"MESSAGE":""`, `,"MESSAGE":[]`, `,"MESSAGE":[null,"x"]`} {
		e, err := parseEntry([]byte(`{"__CURSOR":"i=1"` + message + `}`))
		if err != errEmpty || e.Cursor != "i=1" {
			t.Errorf("%q: cursor %q and %v, want i=1 and errEmpty", message, e.Cursor, err)
		}
	}
}

// A long message becomes several events, each of which a manager can tell the program of.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	e := entry{Realtime: "1795407144435379", Identifier: field("big"), Message: field(strings.Repeat("é", 9000))}
	head := string(e.head("vm", zone))
	events := e.appendEvents(nil, []byte(head), "journald", 6016)
	var joined []byte
	for _, event := range events {
		text, ok := bytes.CutPrefix(event.Message, []byte(head))
		if n := len("1:journald:") + len(event.Message); !ok || n > 6016 {
			t.Errorf("an event of %d bytes begins %.50q", n, event.Message)
		}
		joined = append(joined, text...)
	}
	if !bytes.Equal(joined, e.Message) || len(events) != 4 {
		t.Errorf("%d events of %d bytes together, want 4 of %d", len(events), len(joined), len(e.Message))
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseEntry(line)
		if err != nil {
			if !errors.Is(err, errEntry) && err != errEmpty {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		head := e.head("vm", zone)
		if bytes.ContainsAny(head, "\n\x00") || len(head) > 400 || utf8.Valid(line) && bytes.ContainsAny(head, "\x1b\r") {
			t.Fatalf("head %q", head)
		}
		for _, event := range e.appendEvents(nil, head, "journald", 512) {
			if len(event.Message)+len("1:journald:") > 512 {
				t.Fatalf("an event of %d bytes", len(event.Message))
			}
		}
	})
}
