package share

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ossecd/proto"
)

// A merged file that a stock manager made of the same files, in another order, is pushed as it is, so that no agent gets one
// anew where we take its place.
func TestMergedOfAStockManager(t *testing.T) {
	t.Parallel()
	const ours = "!2 a\nxy!0 b\n!5 c\n!1 a\n"
	for _, tt := range []struct{ name, theirs, want string }{
		{"none", "", ours},
		{"another order", "!5 c\n!1 a\n!0 b\n!2 a\nxy", "!5 c\n!1 a\n!0 b\n!2 a\nxy"},
		{"another content", "!5 c\n!1 a\n!0 b\n!2 a\nxz", ours},
		{"one missing", "!2 a\nxy!0 b\n", ours},
		{"one more", ours + "!0 d\n", ours},
		{"one twice", "!2 a\nxy!2 a\nxy!5 c\n!1 a\n", ours},
		{"a size past the end", "!5 c\n!1 a\n!0 b\n!3 a\nxy", ours},
		{"a negative size", "!-1 a\nxyzxyzxyzxyzxyzxyz", ours},
		{"an end within a line", "!2 a\nxy!0 b\n!5 c\n!1 a", ours},
		{"a line with no size", " \n!2 a\nxy", ours},
		{"an empty line", "\n!2 a\nxy", ours},
		{"with a group", "#default\n" + ours, ours},
	} {
		dir := t.TempDir()
		write := func(name, content string) error {
			return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)
		}
		err := errors.Join(write("a", "xy"), write("b", ""), write("c", "!1 a\n"))
		if tt.theirs != "" {
			err = errors.Join(err, write(proto.MergedName, tt.theirs))
		}
		if err != nil {
			t.Fatal(err)
		}
		d := directory{path: dir}
		m, _, err := d.look()
		if err != nil || string(m.data) != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, m.data, err, tt.want)
		}
	}
}
