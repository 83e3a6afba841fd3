package link

import "testing"

func TestParseAddress(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"192.0.2.1", "192.0.2.1:1514"},
		{"192.0.2.1:99", "192.0.2.1:99"},
		{"Manager.Example.NET", "manager.example.net:1514"},
		{"mgr:1", "mgr:1"},
		{"2001:db8::1", "[2001:db8::1]:1514"},
		{"[2001:db8::1]", "[2001:db8::1]:1514"},
		{"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
		{"fe80::1%eth0", "[fe80::1%eth0]:1514"},
		{"", ""}, {":1514", ""}, {"mgr:", ""}, {"mgr:0", ""}, {"mgr:65536", ""}, {"mgr:x", ""}, {"mgr:-1", ""},
		{"[mgr]", ""}, {"[2001:db8::1", ""}, {"[2001:db8::1]x", ""}, {"udp://mgr", ""}, {"a b", ""}, {"a\x1b", ""}, {"mgr/x", ""},
	}
	for _, tt := range tests {
		got, err := ParseAddress(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}
