//go:build unix

package share

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ossecd/proto"
)

// A named pipe among the shared files is left out, and not waited for, even in the place of the merged file.
func TestPipesAmongSharedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.conf"), []byte("<agent_config/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{proto.MergedName, "pipe"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := directory{path: dir}
	m, skipped, err := d.look()
	if err != nil || m.files != 1 || string(m.data) != "!15 agent.conf\n<agent_config/>" || len(skipped) != 1 {
		t.Errorf("%+v, %q, %v", m, skipped, err)
	}
}
