package syslog

import (
	"strings"
	"testing"

	"ossecd/keys/setting/settingtest"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ table, want string }{
		{`{"listen":":514"}`, "allow: missing"},
		{`{"listen":"x"}`, "is not an address with a port"},
		{`{"listen":"127.0.0.1:514","protocols":["sctp"]}`, "protocols: "},
		{`{"allow":["10.0.0.0/8","any"]}`, `allow: "any" is not an address`},
		{`{"allow":["::1"],"deny":["1.2.3"]}`, `deny: "1.2.3"`},
		{`{"allow":["::1"],"idle_timeout":"5m"}`, `goes with protocols = ["tcp"]`},
	}
	for _, tt := range tests {
		if _, _, err := ParseTables(settingtest.Tables(t, "syslog", tt.table)); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "syslog[1]: ") {
			t.Errorf("%s: %v, want %q", tt.table, err, tt.want)
		}
	}
}
