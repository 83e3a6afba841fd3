package collector

import (
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// What would take the library minutes is refused at once; strings and comments may hold anything.
func TestNestedTooDeep(t *testing.T) {
	t.Parallel()
	table := "[[agent.source]]\ntype = \"file\"\n"
	const n = 30_000
	for name, text := range map[string]string{
		"arrays":        "x = " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"tables":        "x = " + strings.Repeat("{a=", n) + "1" + strings.Repeat("}", n),
		"over lines":    "x = " + strings.Repeat("{a=[\n", n) + strings.Repeat("]}", n),
		"keys":          "x" + strings.Repeat(".a", n) + " = 1",
		"quoted keys":   "x" + strings.Repeat(`."a"`, n) + " = 1",
		"header":        "[x" + strings.Repeat(".'a'", n) + "]",
		"after strings": `s = ["\"", '\', "#", "\\"]` + "\nt = '''\n''\n'''\nu = \"\"\"\\\"\"\"\"\"\n# \"\nx = " + strings.Repeat("[", n),
		"after quotes":  "s = '''a''''\nt = \"\"\"a\"\"\"\"\nx = " + strings.Repeat("[", n),
	} {
		if _, err := pushedTables(table+text, false); !errors.Is(err, errNested) {
			t.Errorf("%s: %v", name, err)
		}
	}
	deep := strings.Repeat("[{", n) + strings.Repeat(".a", n)
	text := table + "a = \"" + deep + "\"\nb = '" + deep + "'\nc = \"\"\"\n" + deep + "\"\"\"\nd = '''" + deep + "'''\n# " + deep + "\ne = \"\\\"" + deep + "\"\n"
	if tables, err := pushedTables(text, false); err != nil || len(tables) != 1 {
		t.Errorf("%d tables, %v", len(tables), err)
	}
}

// Whatever passes is decoded with its nesting bounded.
func FuzzNested(f *testing.F) {
	for _, text := range []string{"x = [[{a = 1}]]", "a.b.\"c\" = '''x''' # y", "s = \"\\\"\"", "x = \"\"\"a\\\"\"\"\"\"\"", "x = ''''a'''''\ny = [[", "x = [[[[[[[[[[[[[[[[["} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v map[string]any
		if len(text) > 4096 || checkNested(text) != nil {
			return
		}
		if _, err := toml.Decode(text, &v); err != nil {
			return
		}
		if d := depthOf(v); d > (maxNested+2)*(maxNested+2) { // dotted keys can stand at each level of tables
			t.Errorf("%d deep: %q", d, text)
		}
	})
}

func depthOf(v any) (d int) {
	switch v := v.(type) {
	case map[string]any:
		for _, w := range v {
			d = max(d, 1+depthOf(w))
		}
	case []map[string]any:
		for _, w := range v {
			d = max(d, 1+depthOf(w))
		}
	case []any:
		for _, w := range v {
			d = max(d, 1+depthOf(w))
		}
	}
	return d
}
