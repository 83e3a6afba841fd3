package transport

import (
	"testing"

	"ossecd/proto"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"192.0.2.1", "udp://192.0.2.1:1514"},
		{"192.0.2.1:99", "udp://192.0.2.1:99"},
		{"Manager.Example.NET", "udp://manager.example.net:1514"},
		{"mgr:1", "udp://mgr:1"},
		{"2001:db8::1", "udp://[2001:db8::1]:1514"},
		{"[2001:db8::1]", "udp://[2001:db8::1]:1514"},
		{"[2001:db8::1]:65535", "udp://[2001:db8::1]:65535"},
		{"fe80::1%eth0", "udp://[fe80::1%eth0]:1514"},
		{"udp://mgr", "udp://mgr:1514"}, {"tcp://mgr:99", "tcp://mgr:99"}, {"TCP://mgr", "tcp://mgr:1514"},
		{"tcp://2001:db8::1", "tcp://[2001:db8::1]:1514"}, {"tcp://[2001:db8::1]:9", "tcp://[2001:db8::1]:9"},
		{"", ""}, {":1514", ""}, {"mgr:", ""}, {"mgr:0", ""}, {"mgr:65536", ""}, {"mgr:x", ""}, {"mgr:-1", ""},
		{"[mgr]", ""}, {"[2001:db8::1", ""}, {"[2001:db8::1]x", ""}, {"a b", ""}, {"a\x1b", ""}, {"mgr/x", ""}, {"a:b:c", ""},
		{"tcp://", ""}, {"://mgr", ""}, {"http://mgr", ""}, {"tcp:mgr", ""}, {"tcp://mgr/", ""}, {"udp://tcp://mgr", ""},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in, UDP)
		text := ""
		if err == nil {
			text = got.String()
		}
		if text != tt.want {
			t.Errorf("%q: got %q, %v; want %q", tt.in, text, err, tt.want)
		}
	}
	for dialect, want := range map[proto.Dialect]string{proto.OSSEC: UDP, proto.Wazuh: TCP} {
		if got, err := Parse("mgr", BareNetwork(dialect)); err != nil || got.Network != want {
			t.Errorf("%v: %v, %v", dialect, got, err)
		}
	}
}
