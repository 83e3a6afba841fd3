package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"ossecd/keys/setting"
)

// Table reads the keys of a table of the configuration and collects what is wrong with it.
type Table struct {
	values map[string]any
	known  []string
	faults []error

	Warnings []string // about what is still taken
}

// NewTable reads a table that stands as a JSON object.
func NewTable(text string) *Table {
	t := &Table{}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if err := d.Decode(&t.values); err != nil {
		t.Fault("", "is no table: %v", err)
	}
	return t
}

// Fault notes what is wrong with a key, or with the whole where key is empty.
func (t *Table) Fault(key, format string, args ...any) {
	if key != "" {
		format = key + ": " + format
	}
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

// take gives the value of a key, which is known from then on.
func (t *Table) take(key string) (any, bool) {
	t.known = append(t.known, key)
	v, ok := t.values[key]
	return v, ok
}

// Has says whether one of some keys is there.
func (t *Table) Has(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { _, ok := t.values[key]; return ok })
}

// String is a text, or the fallback where the key is missing.
func (t *Table) String(key, fallback string) string {
	v, ok := t.take(key)
	if !ok {
		return fallback
	}
	s, ok := v.(string)
	if !ok {
		t.Fault(key, "wants a string")
	} else if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		t.Fault(key, "%.40q has control characters; write it without", s)
	}
	return s
}

// Word is one of a few words; the first one stands for a missing key.
func (t *Table) Word(key string, words ...string) string {
	s := t.String(key, words[0])
	if !slices.Contains(words, s) {
		t.Fault(key, "%.40q is unknown; use %s", s, strings.Join(words, ", "))
		return words[0]
	}
	return s
}

// Int is a number in a range, or the fallback where the key is missing.
func (t *Table) Int(key string, fallback, least, most int) int {
	v, ok := t.take(key)
	if !ok {
		return fallback
	}
	number, _ := v.(json.Number)
	n, err := number.Int64()
	if err != nil || n < int64(least) || n > int64(most) || n > math.MaxInt {
		t.Fault(key, "wants a whole number from %d to %d", least, most)
		return fallback
	}
	return int(n)
}

// Size is a number of bytes with a unit, or the fallback where the key is missing. A plain number is in units of plain bytes.
func (t *Table) Size(key string, fallback, plain, least, most int64) int64 {
	v, ok := t.take(key)
	if !ok {
		return fallback
	}
	text, isText := v.(string)
	if number, isNumber := v.(json.Number); isNumber {
		text, isText = number.String(), true
	}
	n, err := setting.ParseSize(text, plain)
	if !isText || err != nil || n < least || n > most {
		t.Fault(key, "wants %s, from %s to %s", setting.WantSize, setting.FormatSize(least), setting.FormatSize(most))
		return fallback
	}
	return n
}

// Renamed takes the value of a key under its old name, and says so in Warnings.
func (t *Table) Renamed(old, key string, change func(any) any) {
	v, ok := t.values[old]
	if !ok {
		return
	}
	delete(t.values, old)
	if _, both := t.values[key]; both {
		t.Fault(old, "is the old name of %s, which is there too; leave it out", key)
		return
	}
	t.values[key] = change(v)
	t.Warnings = append(t.Warnings, setting.Renamed(old, key))
}

// Bool is true or false; false where the key is missing.
func (t *Table) Bool(key string) bool {
	v, ok := t.take(key)
	b, isBool := v.(bool)
	if ok && !isBool {
		t.Fault(key, "wants true or false")
	}
	return b
}

// Duration is a time such as "90s" in a range, or the fallback where the key is missing.
func (t *Table) Duration(key string, fallback, least, most time.Duration) time.Duration {
	v, ok := t.take(key)
	if !ok {
		return fallback
	}
	s, _ := v.(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > most {
		t.Fault(key, `wants a duration such as "90s", "5m" or "24h", from %v to %v`, least, most)
		return fallback
	}
	return d
}

// Strings is a list of texts, none of them empty; nil where the key is missing.
func (t *Table) Strings(key string) (list []string) {
	v, ok := t.take(key)
	if !ok {
		return nil
	}
	values, isList := v.([]any)
	for _, v := range values {
		s, isString := v.(string)
		isList = isList && isString && s != ""
		list = append(list, s)
	}
	if !isList || len(list) == 0 {
		t.Fault(key, `wants an array of strings such as ["one", "two"], none of them empty`)
		return nil
	}
	return list
}

// Texts is a table of texts by name; nil where the key is missing.
func (t *Table) Texts(key string) map[string]string {
	v, ok := t.take(key)
	if !ok {
		return nil
	}
	values, isTable := v.(map[string]any)
	texts := make(map[string]string, len(values))
	for name, v := range values {
		s, isString := v.(string)
		isTable = isTable && isString
		texts[name] = s
	}
	if !isTable || len(texts) == 0 {
		t.Fault(key, `wants a table of strings such as { site = "fra1" }`)
		return nil
	}
	return texts
}

// Filter reads the keys that say which events a sink is for.
func (t *Table) Filter() Filter {
	f := Filter{Agents: t.Strings("agents"), Queues: t.Strings("queues"), Locations: t.Strings("locations")}
	for _, q := range f.Queues {
		if len(q) != 1 {
			t.Fault("queues", "%.40q is no queue; these have one character, as in [\"1\", \"8\"]", q)
			return Filter{}
		}
	}
	f.Actions = t.Strings("actions")
	for _, a := range f.Actions {
		if !slices.Contains(Actions, a) {
			t.Fault("actions", "%.40q is unknown; use %s", a, strings.Join(Actions, ", "))
		}
	}
	return f
}

// End notes keys that nothing has asked for, and returns all faults.
func (t *Table) End() error {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(t.known, key) {
			t.Fault("", "unknown key %.40q; %s", key, setting.Instead(key, t.known, `"`, `"`))
		}
	}
	return errors.Join(t.faults...)
}
