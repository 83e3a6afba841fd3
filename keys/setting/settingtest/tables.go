// Package settingtest makes tables of the configuration for tests.
package settingtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"ossecd/keys/setting"
)

// Tables makes tables of JSON objects, which stand at NAME[1] and so on.
func Tables(t testing.TB, name string, texts ...string) (tables []*setting.Table) {
	for i, text := range texts {
		tables = append(tables, setting.NewTable(fmt.Sprintf("%s[%d]", name, i+1), values(t, text)))
	}
	return tables
}

// Table makes a single table.
func Table(t testing.TB, name, text string) *setting.Table {
	return setting.NewTable(name, values(t, text))
}

// values decodes JSON into what package toml makes of the same in TOML.
func values(t testing.TB, text string) map[string]any {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return asTOML(v).(map[string]any)
}

func asTOML(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, w := range v {
			v[key] = asTOML(w)
		}
	case []any:
		for i, w := range v {
			v[i] = asTOML(w)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}
