package setting_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ossecd/keys/setting"
)

// Each value of the wrong kind is a fault that names the place, the key, and what is wanted; what is good is given as it stands.
func TestTable(t *testing.T) {
	t.Parallel()
	const place = "ossecd.toml:7: sink[1]"
	read := func(table *setting.Table) string {
		return fmt.Sprint(table.String("s", "-"), table.Text("t"), table.Int("i", 5, 1, 9), table.Size("z", 1, 1<<20, 1, 1<<30), table.Bool("b"),
			table.Duration("d", time.Second, time.Second, time.Hour), table.Strings("l"), table.Texts("m"), table.Word("w", "a", "b"))
	}
	good := setting.NewTable(place, map[string]any{"s": "x", "t": "a\nb", "i": int64(9), "z": "2 MB", "b": true, "d": "1m", "l": []any{"p", "q"}, "m": map[string]any{"k": "v"}, "w": "b"})
	if got, want := read(good), fmt.Sprint("x", "a\nb", 9, int64(2<<20), true, time.Minute, []string{"p", "q"}, map[string]string{"k": "v"}, "b"); got != want || good.End() != nil {
		t.Errorf("got %s, %v, want %s", got, good.End(), want)
	}
	empty := setting.NewTable(place, nil)
	if got, want := read(empty), fmt.Sprint("-", "", 5, int64(1), false, time.Second, []string(nil), map[string]string(nil), "a"); got != want || empty.End() != nil {
		t.Errorf("nothing given: got %s, %v, want %s", got, empty.End(), want)
	}
	for _, tt := range []struct {
		key   string
		value any
		want  string
	}{
		{"s", int64(5), "s: wants a string, not 5"},
		{"s", "", "s: is empty"},
		{"s", "a\x1b", "s: \"a\\x1b\" has control characters"},
		{"s", "a\u009b", "has control characters"},
		{"t", []any{}, "t: wants a string, not an empty array"},
		{"i", int64(10), "i: wants a whole number from 1 to 9, not 10"},
		{"i", 1.5, "not 1.5"},
		{"z", "2 XB", "z: wants a size"},
		{"z", int64(0), "not 0"},
		{"b", "yes", `b: wants true or false, not "yes"`},
		{"d", "2h", "d: wants a duration"},
		{"d", int64(5), "not 5"},
		{"l", []any{"a", ""}, "l: wants an array of strings"},
		{"l", []any{"a", int64(1)}, "l: wants an array of strings"},
		{"m", map[string]any{"k": int64(1)}, "m: wants a table of strings"},
		{"w", "c", `w: "c" is unknown; use a, b`},
		{"x", true, `unknown key "x"`},
	} {
		table := setting.NewTable(place, map[string]any{tt.key: tt.value})
		read(table)
		err := table.End()
		if err == nil || !strings.HasPrefix(err.Error(), place+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %v: %v, want %s", tt.key, tt.value, err, tt.want)
		}
	}
}

// A key under its old name is taken and told of, unless the new one is there too. A table can be read again from its beginning.
func TestRenamed(t *testing.T) {
	t.Parallel()
	same := func(v any) any { return v }
	stands := setting.NewTable("source[1]", map[string]any{"old": "x"})
	for range 2 {
		table := stands.Begin()
		table.Renamed("old", "new", same)
		if got := table.String("new", ""); got != "x" || table.End() != nil || len(table.Warnings()) != 1 || !strings.HasPrefix(table.Warnings()[0], "source[1]: old is called new now") {
			t.Errorf("got %q, %v, %q", got, table.End(), table.Warnings())
		}
	}
	both := setting.NewTable("source[1]", map[string]any{"old": "x", "new": "y"})
	both.Renamed("old", "new", same)
	both.String("new", "")
	if err := both.End(); err == nil || !strings.Contains(err.Error(), "source[1]: old: is the old name of new, which is there too") {
		t.Error(err)
	}
}
