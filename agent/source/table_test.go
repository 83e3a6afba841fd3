package source

import (
	"ossecd/keys/setting/settingtest"
	"path/filepath"
	"testing"
)

// The state of a source stays in its directory, whatever its name, and differs from that of others.
func TestStateFile(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tt := range []struct{ kind, table string }{{"file", `{}`}, {"file", `{"name":"a-b"}`}, {"journald", `{}`}, {"journald", `{"name":"file"}`}} {
		table := NewTable(settingtest.Table(t, "source", tt.table))
		path := table.StateFile(Env{State: "state"}, tt.kind)
		if filepath.Dir(path) != "state" || seen[path] || table.Faults() != nil {
			t.Errorf("%s %s: %s, %v", tt.kind, tt.table, path, table.Faults())
		}
		seen[path] = true
	}
}
