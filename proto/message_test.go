package proto

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	stockKeepalive = "#!-Linux vm 6.18.44 #1 SMP PREEMPT_DYNAMIC @0 x86_64 - OSSEC HIDS v4.2.0 / a1a95f46974cb9266786e81b36a81506\n" +
		"3a7519226d874b316b98ef4952dffbd8 merged.mg\n\n-K3nu#aQm$wM)HE^w=Zt"
	wazuhKeepalive = "#!-Linux |vm |6.1.0 |#1 SMP |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)] - Wazuh v4.14.5 / ab73af41699f13fdd81903b5f23d8d00\n" +
		"\"env\":prod\n#\"_x\":1\nx merged.mg\n#\"_agent_ip\":10.1.2.3\n"
)

func TestParseKeepalive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want Keepalive
		err  error
	}{
		{in: stockKeepalive, want: Keepalive{
			Uname: "Linux vm 6.18.44 #1 SMP PREEMPT_DYNAMIC @0 x86_64", Program: "OSSEC HIDS v4.2.0",
			ConfigSum: "a1a95f46974cb9266786e81b36a81506", Files: []FileSum{{"3a7519226d874b316b98ef4952dffbd8", "merged.mg"}}}},
		{in: wazuhKeepalive, want: Keepalive{
			Uname: "Linux |vm |6.1.0 |#1 SMP |x86_64 [Debian GNU/Linux|debian: 12 (bookworm)]", Program: "Wazuh v4.14.5",
			ConfigSum: "ab73af41699f13fdd81903b5f23d8d00", Files: []FileSum{{"", "merged.mg"}},
			Labels: []string{`"env":prod`, `#"_x":1`}, Address: "10.1.2.3"}},
		{in: "#!-hello\n", want: Keepalive{Uname: "hello"}},
		{in: "#!-\n", want: Keepalive{}},
		{in: "#!-hello", err: ErrMalformed},
		{in: "#!-a - b\nx ../x\nzz merged.mg\nnosum\n\n", want: Keepalive{Uname: "a", Program: "b"}},
		{in: "#!-a - b\n\nossecd notify-time=10000ms more=1", want: Keepalive{Uname: "a", Program: "b", NotifyTime: 10 * time.Second}},
		{in: "#!-a - b\n\nossecd notify-time=10000ms more takes-key says-word=A1b", want: Keepalive{Uname: "a", Program: "b", NotifyTime: 10 * time.Second, TakesKey: true, SaysWord: true, Word: "A1b"}},
		{in: "#!-a - b\n\nossecd notify-time=10000ms says-word takes-key=1", want: Keepalive{Uname: "a", Program: "b", NotifyTime: 10 * time.Second, SaysWord: true}},
		{in: "#!-a - b\n\nossecd notify-time=10000ms says-word= says-words says-word=a/b says-word=" + strings.Repeat("x", 65), want: Keepalive{Uname: "a", Program: "b", NotifyTime: 10 * time.Second}},
		{in: "#!-a - b\n\nossecd notify-time=10000ms conversation=A1b says-word", want: Keepalive{Uname: "a", Program: "b", NotifyTime: 10 * time.Second, SaysWord: true, Nonce: "A1b"}},
		{in: "#!-a - b\n\nossecd notify-time=10000ms conversation= conversation conversation=a/b conversation=" + strings.Repeat("x", 65), want: Keepalive{Uname: "a", Program: "b", NotifyTime: 10 * time.Second}},
		{in: "#!-a - b\n\nossecd notify-time=0ms says-word=A conversation=B", want: Keepalive{Uname: "a", Program: "b"}},
		{in: "#!-a - b\n\nossecd notify-time=-1s", want: Keepalive{Uname: "a", Program: "b"}},
		{in: "#!-a - b\n\nossecd notify-time=9999h", want: Keepalive{Uname: "a", Program: "b"}},
	}
	for _, tt := range tests {
		kind, rest := ParseFromAgent([]byte(tt.in))
		if (kind == AgentKeepalive) != (tt.err == nil) {
			t.Errorf("%q: kind %v", tt.in, kind)
		}
		got, err := ParseKeepalive(rest)
		if err != tt.err || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q:\n got %+v, %v\nwant %+v, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestParseKeepaliveIsBounded(t *testing.T) {
	t.Parallel()
	k, err := ParseKeepalive([]byte("a\n" + strings.Repeat("x f\n", 20_000)))
	if err != nil || len(k.Files) > maxKeepaliveLines {
		t.Errorf("%d files, %v", len(k.Files), err)
	}
}

func TestAppendKeepalive(t *testing.T) {
	t.Parallel()
	in := Keepalive{
		Uname: "Linux vm 6.1.0\n #1 x86_64", Program: "ossecd v1.2.3", ConfigSum: "a1a95f46974cb9266786e81b36a81506",
		Files: []FileSum{{"3a7519226d874b316b98ef4952dffbd8", "merged.mg"}, {"", "other"}}, NotifyTime: 5 * time.Minute,
		Labels: []string{`"a":b`}, Address: "2001:db8::1", TakesKey: true, SaysWord: true, Word: "4RQ2KXJ6C3O5M7W2ZTN6LHYBEA", Nonce: "A1",
	}
	got, err := ParseKeepalive(AppendKeepalive(nil, &in)[3:])
	in.Uname = "Linux vm 6.1.0  #1 x86_64"
	if err != nil || !reflect.DeepEqual(got, in) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, in)
	}
	in.Uname = strings.Repeat("u", 5000)
	if n := strings.Index(string(AppendKeepalive(nil, &in)), "merged.mg\n"); n > 1000 {
		t.Errorf("the sum of the merged file ends at %d, past what stock managers read", n)
	}
}

func TestParseFromAgent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		kind FromAgent
		rest string
	}{
		{"#!-agent startup ", AgentStartup, ""},
		{`#!-agent startup {"version":"v4.14.5"}`, AgentStartup, `{"version":"v4.14.5"}`},
		{"#!-agent startup", AgentOther, "agent startup"},
		{"#!-agent shutdown ", AgentShutdown, ""},
		{"#!-x\n", AgentKeepalive, "x\n"},
		{"#!-req 1 err x", AgentOther, "req 1 err x"},
		{"#!-", AgentOther, ""},
	}
	for _, tt := range tests {
		if kind, rest := ParseFromAgent([]byte(tt.in)); kind != tt.kind || string(rest) != tt.rest {
			t.Errorf("%q: %v %q, want %v %q", tt.in, kind, rest, tt.kind, tt.rest)
		}
	}
}

func TestParseFromManager(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		kind FromManager
		rest string
	}{
		{"#!-agent ack ", ManagerAck, ""},
		{"#!-agent ack", ManagerOther, "agent ack"},
		{"#!-agent ack x", ManagerOther, "agent ack x"},
		{"#!-up file 3a7519226d874b316b98ef4952dffbd8 merged.mg\n", ManagerUpFile, "3a7519226d874b316b98ef4952dffbd8 merged.mg\n"},
		{"#!-close file ", ManagerCloseFile, ""},
		{"#!-execd restart-ossec0 add", ManagerExecd, "restart-ossec0 add"},
		{"#!-syscheck restart", ManagerSyscheckNow, ""},
		{"#!-force_reconnect", ManagerForceReconnect, ""},
		{"#!-ossecd key 001 web01 any 5f", ManagerNewKey, "001 web01 any 5f"},
		{"#!-ossecd removed ", ManagerRemoved, ""},
		{"#!-ossecd here? ", ManagerAnyHere, ""},
		{"#!-ossecd here? A1b", ManagerAnyHere, "A1b"},
		{"#!-ossecd here? A b", ManagerOther, "ossecd here? A b"},
		{"#!-ossecd here? " + strings.Repeat("A", 65), ManagerOther, "ossecd here? " + strings.Repeat("A", 65)},
		{"#!-ossecd here?", ManagerOther, "ossecd here?"},
		{"#!-some unknown control", ManagerOther, "some unknown control"},
		{"#!-req 1f agent getconfig client", ManagerRequest, "1f agent getconfig client"},
		{"#!-err no such agent", ManagerError, "no such agent"},
		{"raw bytes", ManagerChunk, "raw bytes"},
		{"", ManagerChunk, ""},
	}
	for _, tt := range tests {
		if kind, rest := ParseFromManager([]byte(tt.in)); kind != tt.kind || string(rest) != tt.rest {
			t.Errorf("%q: %v %q, want %v %q", tt.in, kind, rest, tt.kind, tt.rest)
		}
	}
}

func TestUpFile(t *testing.T) {
	t.Parallel()
	const sum = "3a7519226d874b316b98ef4952dffbd8"
	_, rest := ParseFromManager(AppendUpFile(nil, sum, "merged.mg"))
	if s, n, err := ParseUpFile(rest); s != sum || n != "merged.mg" || err != nil {
		t.Errorf("%q %q %v", s, n, err)
	}
	for _, bad := range []string{"", sum, sum + " ", sum[1:] + " x", strings.ToUpper(sum) + " x", sum + " " + strings.Repeat("n", 256)} {
		if _, _, err := ParseUpFile([]byte(bad)); err != ErrMalformed {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What an agent and a manager can both say is taken for the words of neither alone.
func TestOnlyOneSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		message        string
		manager, agent bool
	}{
		{Ack, true, false}, {Execd + "x", true, false}, {AnyHere, true, false}, {Startup, false, true}, {Shutdown, false, true}, {"#!-Linux - OSSEC\n", false, true},
		{"#!-req 1 ack", false, false}, {"#!-err x", false, false}, {"#!-x", false, false}, {"a piece of a file", false, false},
	} {
		if m, a := OnlyManagersSay([]byte(tt.message)), OnlyAgentsSay([]byte(tt.message)); m != tt.manager || a != tt.agent {
			t.Errorf("%q: %v, %v", tt.message, m, a)
		}
	}
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	for rest, want := range map[string]string{
		"1F agent getconfig client": "1F agent getconfig client", "1f ack": "", "../x agent y": "", "": "", "1f": "", " x": "", "0123456789abcdef0 x": "",
	} {
		number, command, ok := ParseRequest([]byte(rest))
		if got := strings.TrimSpace(string(number) + " " + string(command)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", rest, got, ok)
		}
	}
	if got := string(AppendReply(nil, []byte("1f"), "ack")); got != "#!-req 1f ack" {
		t.Errorf("reply %q", got)
	}
}

func TestBaseName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"merged.mg": true, "agent.conf": true, "a b": true, "système.txt": true,
		"": false, ".": false, "..": false, ".hidden": false, "a/b": false, `a\b`: false, "../x": false, "/etc/passwd": false,
		"c:x": false, "a\x00b": false, "a\nb": false, "a\x1b[m": false, "a*": false, strings.Repeat("n", 256): false,
	} {
		if got := BaseName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestParseEvent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in       string
		d        Dialect
		location string
		message  string
		err      error
	}{
		{"1:/var/log/a:text: more", OSSEC, "/var/log/a", "text: more", nil},
		{"1:loc:", OSSEC, "loc", "", nil},
		{"1::text", OSSEC, "", "text", nil},
		{"\xff:loc:a\x00b\nc", OSSEC, "loc", "a\x00b\nc", nil},
		{"1:C|:x:text", OSSEC, "C|", "x:text", nil},
		{"1:C|:x:text", 0, "C|", "x:text", nil},
		{"1:C|:|||:x:te|:xt", Wazuh, "C:|:x", "te|:xt", nil},
		{"1:C||:text", Wazuh, "C|", "text", nil},
		{"1:C|x:text", Wazuh, "C|x", "text", nil},
		{"1:loc", OSSEC, "", "", ErrMalformed},
		{"1:loc|:text", Wazuh, "", "", ErrMalformed},
		{"1:", OSSEC, "", "", ErrMalformed},
		{"1", OSSEC, "", "", ErrMalformed},
		{"", OSSEC, "", "", ErrMalformed},
		{"12:loc:text", OSSEC, "", "", ErrMalformed},
		{"no event", OSSEC, "", "", ErrMalformed},
	}
	for _, tt := range tests {
		e, err := ParseEvent([]byte(tt.in), tt.d)
		if err != tt.err || string(e.Location) != tt.location || string(e.Message) != tt.message {
			t.Errorf("%q %v: %q %q %v, want %q %q %v", tt.in, tt.d, e.Location, e.Message, err, tt.location, tt.message, tt.err)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		location string
		d        Dialect
		want     string
	}{
		{"/var/log/a", OSSEC, "1:/var/log/a:m"},
		{"C:\\a|b", OSSEC, "1:C_\\a|b:m"},
		{"C:\\a|b", Wazuh, "1:C|:\\a||b:m"},
	} {
		if got := string(AppendEvent(nil, '1', tt.location, []byte("m"), tt.d)); got != tt.want {
			t.Errorf("%q %v: %q, want %q", tt.location, tt.d, got, tt.want)
		}
	}
}

func TestCounter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want Counter }{
		{Counter{0, 0}, Counter{0, 1}},
		{Counter{0, 9996}, Counter{0, 9997}},
		{Counter{0, 9997}, Counter{1, 1}},
		{Counter{5, 9999}, Counter{6, 1}},
		{Counter{1<<32 - 1, 9997}, Counter{0, 1}},
	} {
		if got := tt.in.Next(); got != tt.want {
			t.Errorf("after %v: %v, want %v", tt.in, got, tt.want)
		}
	}
	c := Counter{1<<32 - 1, 9997}
	if CounterAt(c.Value()) != c {
		t.Errorf("%v became %v", c, CounterAt(c.Value()))
	}
}
