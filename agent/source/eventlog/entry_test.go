package eventlog

import (
	"strings"
	"testing"
	"time"
)

// As Windows renders them, shortened.
const (
	failedLogon = `<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Microsoft-Windows-Security-Auditing' Guid='{54849625-5478-4994-a5ba-3e3b0328c30d}'/><EventID>4625</EventID><Version>0</Version><Level>0</Level><Task>12544</Task><Opcode>0</Opcode><Keywords>0x8010000000000000</Keywords><TimeCreated SystemTime='2026-11-23T14:00:01.1234567Z'/><EventRecordID>229977</EventRecordID><Correlation/><Execution ProcessID='516' ThreadID='3240'/><Channel>Security</Channel><Computer>PC1.example</Computer><Security/></System><EventData><Data Name='SubjectUserSid'>S-1-0-0</Data><Data Name='TargetUserName'>bob</Data><Data Name='IpAddress'>192.0.2.7</Data></EventData></Event>`
	service     = `<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Microsoft-Windows-Service Control Manager' Guid='{555908d1-a6d7-4695-8e1e-26931d2012f4}' EventSourceName='Service Control Manager'/><EventID Qualifiers='16384'>7036</EventID><Level>4</Level><Keywords>0x8080000000000000</Keywords><TimeCreated SystemTime='2026-11-23T04:00:01Z'/><Channel>System</Channel><Computer>PC1</Computer><Security UserID='S-1-5-18'/></System></Event>`
	odd         = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='A: B&#10;C'/><EventID>1</EventID><Level>2</Level><Keywords>junk</Keywords><TimeCreated SystemTime='2026-11-23T04:00:01Z'/><Channel>My/Own: one</Channel><Computer></Computer></System><EventData><Data>first</Data><Data>a\tb\r\n c</Data></EventData></Event>"
)

func TestLine(t *testing.T) {
	t.Parallel()
	at := func(s string) string {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.Local().Format("2006 Jan 02 15:04:05")
	}
	for name, tt := range map[string]struct {
		e    entry
		want string
	}{
		"with a message": {
			entry{xml: failedLogon, message: "An account failed to log on.\r\n\r\nSubject:\r\n\tSecurity ID:\t\tS-1-0-0\r\n"},
			at("2026-11-23T14:00:01Z") + " WinEvtLog: Security: AUDIT_FAILURE(4625): Microsoft-Windows-Security-Auditing: (no user): no domain: PC1.example: An account failed to log on. Subject: Security ID: S-1-0-0",
		},
		"without": {
			entry{xml: failedLogon},
			at("2026-11-23T14:00:01Z") + " WinEvtLog: Security: AUDIT_FAILURE(4625): Microsoft-Windows-Security-Auditing: (no user): no domain: PC1.example: SubjectUserSid: S-1-0-0 TargetUserName: bob IpAddress: 192.0.2.7",
		},
		"of a user, under an old name": {
			entry{xml: service, user: account{"SYSTEM", "NT AUTHORITY"}, message: "The Print Spooler service entered the running state."},
			at("2026-11-23T04:00:01Z") + " WinEvtLog: System: INFORMATION(7036): Service Control Manager: SYSTEM: NT AUTHORITY: PC1: The Print Spooler service entered the running state.",
		},
		"nothing to say": {
			entry{xml: service},
			at("2026-11-23T04:00:01Z") + " WinEvtLog: System: INFORMATION(7036): Service Control Manager: (no user): no domain: PC1: (no message)",
		},
		"odd fields": {
			entry{xml: odd},
			at("2026-11-23T04:00:01Z") + " WinEvtLog: My/Own:_one: ERROR(1): A:_B C: (no user): no domain: -: first a b c",
		},
	} {
		head, text, err := tt.e.line()
		if got := string(head) + text; err != nil || got != tt.want {
			t.Errorf("%s: got\n%s, %v; want\n%s", name, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "x", "<Event/>", "<Event><System></Event>", strings.Replace(service, "<Channel>System</Channel>", "", 1)} {
		if head, _, err := (&entry{xml: text}).line(); err == nil {
			t.Errorf("%q became %q", text, head)
		}
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ level, keywords, want string }{
		{"0", "0x8020000000000000", "AUDIT_SUCCESS"}, {"4", "0x8010000000000000", "AUDIT_FAILURE"}, {"1", "0x8000000000000000", "CRITICAL"},
		{"2", "", "ERROR"}, {"3", "0x80000000000000", "WARNING"}, {"0", "0x80000000000000", "INFORMATION"}, {"4", "?", "INFORMATION"}, {"5", "0x0", "VERBOSE"},
	} {
		if got := level(tt.level, tt.keywords); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{failedLogon, service, odd} {
		f.Add(s, "a message\r\n", "user")
	}
	f.Fuzz(func(t *testing.T, text, message, user string) {
		head, text, err := (&entry{xml: text, message: message, user: account{name: user}}).line()
		if err != nil {
			return
		}
		if len(head) > 2000 {
			t.Errorf("a head of %d bytes", len(head))
		}
		line := string(head) + text
		if strings.ContainsFunc(strings.ToValidUTF8(line, ""), func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }) {
			t.Errorf("%q is more than a line", line)
		}
		if len(strings.SplitN(line, ": ", 8)) < 8 {
			t.Errorf("%q lacks a field", line)
		}
	})
}
