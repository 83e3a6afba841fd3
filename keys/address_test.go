package keys

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text     string
		single   string // the one address, where it is one
		bare     string
		id       bool // NeedsID of OSSEC
		wazuhID  bool
		contains string // blank-separated
		not      string
	}{
		{"any", "", "any", true, true, "10.0.0.1 ::1 fe80::1%eth0 ::ffff:10.0.0.1", ""},
		{"!any", "", "!any", true, true, "", "10.0.0.1 ::1"},
		{"10.0.0.1", "10.0.0.1", "10.0.0.1", false, false, "10.0.0.1 ::ffff:10.0.0.1", "10.0.0.2 ::1 ::10.0.0.1"},
		{"!10.0.0.1", "", "!10.0.0.1", true, true, "10.0.0.2 ::1", "10.0.0.1 ::ffff:10.0.0.1"},
		{"10.0.0.1/32", "10.0.0.1", "10.0.0.1", false, false, "10.0.0.1", "10.0.0.0"},
		{"10.0.0.1/8", "", "10.0.0.1", true, true, "10.255.0.9 ::ffff:10.2.3.4", "11.0.0.1"},
		{"10.0.0.0/255.255.0.0", "", "10.0.0.0", true, true, "10.0.9.9", "10.1.0.0"},
		{"10.0.0.7/255.255.255.255", "10.0.0.7", "10.0.0.7", false, false, "10.0.0.7", "10.0.0.8"},
		{"10.0.0.0/0.0.0.0", "", "10.0.0.0", true, true, "1.2.3.4 255.255.255.255", "::1"},
		{"0.0.0.0/0", "", "0.0.0.0", true, true, "1.2.3.4 ::ffff:1.2.3.4", "::1"},
		{"!192.168.0.0/16", "", "!192.168.0.0", true, true, "10.0.0.1 ::1", "192.168.3.4"},
		{"2001:db8::5", "2001:db8::5", "2001:db8::5", false, true, "2001:db8::5 2001:db8::5%eth0", "2001:db8::6 1.2.3.4"},
		{"2001:0db8:0000:0000:0000:0000:0000:0005", "2001:db8::5", "2001:0db8:0000:0000:0000:0000:0000:0005", false, true, "2001:db8::5", "::"},
		{"2001:db8::5/128", "2001:db8::5", "2001:db8::5", false, true, "2001:db8::5", "2001:db8::4"},
		{"2001:db8::/32", "", "2001:db8::", true, true, "2001:db8:9::1", "2001:db9::"},
		{"fe80::/10", "", "fe80::", true, true, "fe80::1%eth0", "::1"},
		{"::ffff:10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", false, false, "10.0.0.1 ::ffff:10.0.0.1", "10.0.0.2"},
		{"::ffff:10.0.0.0/104", "", "::ffff:10.0.0.0", true, true, "10.9.9.9", "11.0.0.0"},
	} {
		a, err := ParseAddress(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if a.String() != test.text || a.Bare() != test.bare {
			t.Errorf("%s: got %s and bare %s, want bare %s", test.text, a, a.Bare(), test.bare)
		}
		got := ""
		if ip, single := a.Single(); single {
			got = ip.String()
		}
		if got != test.single {
			t.Errorf("%s: got the single address %q, want %q", test.text, got, test.single)
		}
		if a.NeedsID(false) != test.id || a.NeedsID(true) != test.wazuhID {
			t.Errorf("%s: NeedsID is %v and %v with Wazuh, want %v and %v", test.text, a.NeedsID(false), a.NeedsID(true), test.id, test.wazuhID)
		}
		for _, ip := range strings.Fields(test.contains) {
			if !a.Contains(netip.MustParseAddr(ip)) {
				t.Errorf("%s does not contain %s", test.text, ip)
			}
		}
		for _, ip := range strings.Fields(test.not) {
			if a.Contains(netip.MustParseAddr(ip)) {
				t.Errorf("%s contains %s", test.text, ip)
			}
		}
		if a.Contains(netip.Addr{}) {
			t.Errorf("%s contains the address that is none", test.text)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "!", "!!any", "Any", "any ", "any/8", "localhost", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1",
		"10.0.0.1/+8", "10.0.0.1/8/8", "10.0.0.1/255.0.255.0", "10.0.0.1/255.255.0", "2001:db8::/129", "2001:db8::/255.255.0.0",
		"::ffff:10.0.0.1/95", "fe80::1%eth0", "10.0.0.1/99999999999999999999", "10.0.0.1\x1b[2J", " 10.0.0.1", "10.0.0.1:1514",
		strings.Repeat("1", 1<<16),
	} {
		a, err := ParseAddress(text)
		if !errors.Is(err, errAddress) {
			t.Errorf("%.40q: got %v and %v, want %v", text, a, err, errAddress)
		}
		if a != (Address{}) {
			t.Errorf("%.40q: got %v beside the error", text, a)
		}
		if err != nil && (len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\x1b\n")) {
			t.Errorf("error not fit for a terminal: %q", err)
		}
	}
	var zero Address
	if zero.Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("the zero address contains one")
	}
	if _, single := zero.Single(); single {
		t.Error("the zero address is a single one")
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"any", "!any", "10.1.2.3", "192.168.10.0/24", "2001:0db8:0000:0000:0000:0000:0000:0005", "!10.0.0.0/255.0.0.0",
		"::ffff:10.0.0.0/104", "10.0.0.1/", "fe80::1%eth0"} {
		f.Add(text)
	}
	probe := netip.MustParseAddr("10.1.2.3")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if a.String() != text || len(text) > maxAddress || strings.ContainsAny(text, " \t\r\n") {
			t.Fatalf("%q became %q", text, a)
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Fatalf("%q read again: %v, %v", a, again, err)
		}
		opposite, turned := strings.CutPrefix(text, "!")
		if !turned {
			opposite = "!" + text
		}
		if b, err := ParseAddress(opposite); err == nil && a.Contains(probe) == b.Contains(probe) {
			t.Fatalf("%s both in and out of %s", probe, text)
		}
		if ip, single := a.Single(); single && (!a.Contains(ip) || turned) {
			t.Fatalf("%s does not contain its single address %s", text, ip)
		}
	})
}
