package socket

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What the stock collectors wrote, and what nobody should.
var messages = []struct{ message, want string }{
	{"1:/var/log/x.log:Nov 23 04:00:01 vm sshd[1]: line 1\x00", "1 /var/log/x.log Nov 23 04:00:01 vm sshd[1]: line 1"},
	{"1:printf 'a\\nb\\n':ossec: output: 'printf 'a\\nb\\n'':\na\nb\x00", "1 printf 'a\\nb\\n' ossec: output: 'printf 'a\\nb\\n'':\na\nb"},
	{"1:journald:2026-11-23T09:42:24+05:00 vm sshd: Failed password\n\x00", "1 journald 2026-11-23T09:42:24+05:00 vm sshd: Failed password\n"},
	{"8:syscheck:100:0644:0:0:x /etc/passwd", "8 syscheck 100:0644:0:0:x /etc/passwd"},
	{"1:ossec-keepalive:--MARK--: abc", "1 ossec-keepalive --MARK--: abc"},
	{"a:mysql:x", "a mysql x"},
	{"1:x:\x00", "1 x "}, // an empty line of a log
	{"1:x:", "1 x "},
	{"1::x", ""},
	{"1:x", ""},
	{"1", ""},
	{"", ""},
	{"\x00", ""},
	{":x:y", ""},
	{"#!-agent startup ", ""},
	{"#:x:y", ""},
	{"11:x:y", ""},
	{"1:" + strings.Repeat("x", maxLocation+1) + ":y", ""},
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range messages {
		got := ""
		if e, ok := parse([]byte(tt.message)); ok {
			got = fmt.Sprintf("%c %s %s", e.Queue, e.Location, e.Message)
		}
		if got != tt.want {
			t.Errorf("%.100q: got %q, want %q", tt.message, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m.message))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		e, ok := parse(p)
		if !ok {
			return
		}
		if again := fmt.Appendf(nil, "%c:%s:%s", e.Queue, e.Location, e.Message); !bytes.Equal(again, bytes.TrimSuffix(p, []byte{0})) {
			t.Fatalf("%q became %q", p, again)
		}
	})
}
