package manager

import (
	"strings"
	"testing"

	"ossecd/proto"
)

// Orders go out as JSON to agents that say they read it, and in OSSEC's form to all others, by the present program.
func TestOrderForm(t *testing.T) {
	const order = "#!-execd host-deny600 - 10.9.8.7 1.1 5710 (web01) any->/var/log/auth.log (null)"
	const inJSON = `#!-execd {"version":1,"origin":{"name":"ossecd","module":"ossecd"},"command":"host-deny600","parameters":{"extra_args":[],` +
		`"alert":{"id":"1.1","rule":{"id":"5710"},"location":"(web01) any-\u003e/var/log/auth.log (null)","data":{"srcip":"10.9.8.7"}}}}`
	t.Parallel()
	r := onSockets(t, "", anyLine)
	p := r.dial(anyLine, "198.51.100.9", proto.AES, proto.Wazuh, 5000)
	for _, tt := range []struct{ said, want string }{
		{proto.Startup + `{"version":"v4.14.5"}`, inJSON},
		{keepalive("Wazuh v4.14.5", 0), inJSON},
		{proto.Startup, order},
		{keepalive("Wazuh v4.1.5", 0), order},
		{keepalive("Wazuh v4.2.0", 0), inJSON},
		{keepalive("OSSEC HIDS v4.2.0", 0), order},
	} {
		p.send(tt.said)
		if got := p.answer(); got != proto.Ack {
			t.Fatalf("%q is answered with %q", tt.said, got)
		}
		for body, want := range map[string]string{
			`{"agents":["001"],"action":"host-deny600","args":["-","10.9.8.7","1.1","5710","(web01)","any->/var/log/auth.log","(null)"]}`: tt.want,
			`{"agents":["001"],"action":"syscheck-restart"}`: proto.SyscheckNow,
		} {
			if code, text := r.request("POST", "/v1/orders", body); code != 200 || !strings.Contains(text, `"reachable":true`) {
				t.Fatalf("%d %s", code, text)
			}
			if got := p.answer(); got != want {
				t.Errorf("after %q:\n got %q\nwant %q", tt.said, got, want)
			}
		}
	}
	r.end()
}
