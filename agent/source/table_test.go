package source

import (
	"path/filepath"
	"testing"
)

// The state of a source stays in its directory, whatever its name, and differs from that of others.
func TestStateFile(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tt := range []struct{ kind, table string }{{"file", `{}`}, {"file", `{"name":"a-b"}`}, {"journald", `{}`}, {"journald", `{"name":"file"}`}} {
		table, err := ParseTable(tt.table)
		if err != nil {
			t.Fatal(err)
		}
		path := table.StateFile(Env{State: "state"}, tt.kind)
		if filepath.Dir(path) != "state" || seen[path] || len(table.faults) > 0 {
			t.Errorf("%s %s: %s, %v", tt.kind, tt.table, path, table.faults)
		}
		seen[path] = true
	}
}
