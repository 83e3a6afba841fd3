package fleet

import (
	"strings"
	"testing"

	"ossecd/keys/setting/settingtest"
)

func TestFaultsOfGroups(t *testing.T) {
	t.Parallel()
	tests := []struct{ table, want string }{
		{`{"agents":["x"]}`, "labels = {"},
		{`{"name":"a"}`, "group[1]: agents: missing"},
		{`{"agents":["a"]}`, "group[1]: shared: missing"},
		{`{"agents":["["],"shared":"d"}`, "not a pattern"},
		{`{"agents":["a"],"shared":"d","sharde":"x"}`, `did you mean "shared"`},
		{`{"agents":["x"],"labels":{"a b":"x"}}`, "is not a name"},
		{`{"agents":["x"],"labels":{"a":1}}`, "table of strings"},
		{`{"agents":["x"],"labels":{}}`, "table of strings"},
		{`{"agents":["x"],"labels":{"a":"` + strings.Repeat("x", 257) + `"}}`, "longer than 256"},
	}
	for _, tt := range tests {
		if _, err := ParseGroups(settingtest.Tables(t, "group", tt.table)); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "group[1]: ") {
			t.Errorf("%s: %v, want %q", tt.table, err, tt.want)
		}
	}
}
