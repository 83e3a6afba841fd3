package order

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ossecd/proto"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ order, want string }{
		{"syscheck-restart", proto.SyscheckNow},
		{"reconnect", proto.ForceReconnect},
		{"restart-ossec0", "#!-execd restart-ossec0 - null (from_the_server) (no_rule_id)"},
		{`{"command":"x","parameters":{}}`, `#!-execd {"command":"x","parameters":{}}`},
		{"host-deny600 - 10.9.8.7 x 0", "#!-execd host-deny600 - 10.9.8.7 x 0"},
	} {
		words := strings.Fields(test.order)
		if got, err := Text(words[0], words[1:]); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.order, got, err, test.want)
		}
	}
	// A word of a log line can have blanks. It must not become two, of which the second is taken for the address.
	for _, bad := range [][]string{
		{"host-deny600", "a 8.8.8.8", "10.9.8.7"}, {"host-deny600", "", "8.8.8.8"}, {"host-deny600", "-", "8.8.8.8 x"}, {"host-deny600", "a\u00a08.8.8.8", "-"},
		{"host-deny600", "-", "10.9.8.7", "1 2", "3"}, {"host-deny600", "-", "10.9.8.7", "1", "2 3"}, {"host-deny600 -", "8.8.8.8"}, {"host-deny600 - 8.8.8.8"}, {`{"command":"x"}`, "-"}} {
		if got, err := Text(bad[0], bad[1:]); !errors.Is(err, proto.ErrOrder) {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
	for _, good := range [][]string{{"x", "-", "10.9.8.7", "1", "2", "(web01) any->/x"}} {
		if _, err := Text(good[0], good[1:]); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]string{{""}, {"reconnect", "x"}, {"x", "a\nb"}, {"x\u009b31m"}, {"x", strings.Repeat("y", proto.MaxOrder)}} {
		if got, err := Text(bad[0], bad[1:]); !errors.Is(err, proto.ErrOrder) {
			t.Errorf("%.40q: got %q, %v", bad, got, err)
		}
	}
}

func TestWazuhForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"#!-execd restart-ossec0 - null (from_the_server) (no_rule_id)": `"command":"restart-wazuh"`,
		"#!-execd restart-wazuh - null (from_the_server) (no_rule_id)":  `"alert":{"rule":{},"data":{}}`,
		"#!-execd x root":               `"dstuser":"root"`,
		"#!-execd x root \"\\<\" a b c": `"location":"c"`,
	} {
		got, ok := strings.CutPrefix(WazuhForm(text), proto.Execd)
		if !ok || !json.Valid([]byte(got)) || !strings.Contains(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
	for _, text := range []string{proto.SyscheckNow, proto.ForceReconnect, `#!-execd {"command":"x"}`} {
		if got := WazuhForm(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
