package setting

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Table is a table of the configuration file that no flag can stand for, as [[manager.sink]]. Its getters take the value of a key
// each. They note a value of the wrong kind as a fault and give the fallback, or the zero value, in its place. One goroutine at a time
// may use it, and each reading of it begins with Begin.
type Table struct {
	place  string // for people: "ossecd.toml:7: source[1]"
	values map[string]any

	known    []string // keys asked for
	faults   []error  // "KEY: WHAT; REMEDY"
	warnings []string // about what is still taken
}

// NewTable makes a table of values as package toml decodes them into an any. place says where it stands, as in
// "ossecd.toml:7: source[1]".
func NewTable(place string, values map[string]any) *Table {
	return &Table{place: place, values: values}
}

// Begin gives the table to a new reader, who has asked for nothing yet.
func (t *Table) Begin() *Table { return NewTable(t.place, maps.Clone(t.values)) }

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

// Text is a text, which may have several lines.
func (t *Table) Text(key string) string {
	v, ok := t.take(key)
	s, isString := v.(string)
	switch {
	case !ok:
	case !isString:
		t.Fault(key, "wants a string, not %s", Describe(v))
	case s == "":
		t.Fault(key, "is empty; give it a value, or leave it out")
	}
	return s
}

// String is a text without control characters, or the fallback where the key is missing.
func (t *Table) String(key, fallback string) string {
	if !t.Has(key) {
		t.take(key)
		return fallback
	}
	s := t.Text(key)
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) {
		t.Fault(key, "%.40q has control characters; write it without", s)
	}
	return s
}

// Word is one of a few words; the first one stands for a missing key.
func (t *Table) Word(key string, words ...string) string {
	s := t.String(key, words[0])
	if s != "" && !slices.Contains(words, s) {
		t.Fault(key, "%.40q is unknown; use %s", s, strings.Join(words, ", "))
		return words[0]
	}
	return s
}

// Kind is the word of the key "type": one of those that are known, else empty. A word of before is taken for the one of today.
func (t *Table) Kind(before map[string]string, known ...string) string {
	kind := t.String("type", "")
	if now := before[kind]; now != "" {
		t.warnings = append(t.warnings, Renamed("type "+kind, now))
		kind = now
	}
	switch {
	case slices.Contains(known, kind):
		return kind
	case !t.Has("type"):
		t.Fault("type", "none given; say what it is: %s", strings.Join(known, ", "))
	case kind != "":
		t.Fault("type", "%.40q is unknown; %s", kind, Instead(kind, known, `"`, `"`))
	}
	return ""
}

// Int is a number in a range, or the fallback where the key is missing.
func (t *Table) Int(key string, fallback, least, most int) int {
	v, ok := t.take(key)
	if !ok {
		return fallback
	}
	n, ok := v.(int64)
	if !ok || n < int64(least) || n > int64(most) {
		t.Fault(key, "wants a whole number from %d to %d, not %s", least, most, Describe(v))
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
	if _, isNumber := v.(int64); isNumber {
		text, isText = fmt.Sprint(v), true
	}
	n, err := ParseSize(text, plain)
	if !isText || err != nil || n < least || n > most {
		t.Fault(key, "wants %s, from %s to %s, not %s", WantSize, FormatSize(least), FormatSize(most), Describe(v))
		return fallback
	}
	return n
}

// Bool is true or false; false where the key is missing.
func (t *Table) Bool(key string) bool {
	v, ok := t.take(key)
	b, isBool := v.(bool)
	if ok && !isBool {
		t.Fault(key, "wants true or false, not %s", Describe(v))
	}
	return b
}

// Forever is the end of a range of durations that has none.
const Forever time.Duration = math.MaxInt64

// Duration is a time such as "90s" in a range, or the fallback where the key is missing.
func (t *Table) Duration(key string, fallback, least, most time.Duration) time.Duration {
	v, ok := t.take(key)
	if !ok {
		return fallback
	}
	s, _ := v.(string)
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d >= least && d <= most:
		return d
	case most == Forever:
		t.Fault(key, "wants %s, above zero, not %s", WantDuration, Describe(v))
	default:
		t.Fault(key, "wants %s, from %v to %v, not %s", WantDuration, least, most, Describe(v))
	}
	return fallback
}

// Strings is a list of texts, none of them empty; nil where the key is missing.
func (t *Table) Strings(key string) (list []string) {
	v, ok := t.take(key)
	if !ok {
		return nil
	}
	list, ok = Strings(v)
	if !ok || slices.Contains(list, "") {
		t.Fault(key, "wants %s, none of them empty, not %s", WantStrings, Describe(v))
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
		t.Fault(key, `wants a table of strings such as { site = "fra1" }, not %s`, Describe(v))
		return nil
	}
	return texts
}

// Renamed takes the value of a key under its old name, changed where it meant something else, and warns of it.
func (t *Table) Renamed(old, key string, change func(any) any) {
	v, ok := t.values[old]
	if !ok {
		return
	}
	delete(t.values, old)
	if t.Has(key) {
		t.Fault(old, "is the old name of %s, which is there too; leave it out", key)
		return
	}
	if change != nil {
		v = change(v)
	}
	t.values[key] = v
	t.warnings = append(t.warnings, Renamed(old, key))
}

// Dropped takes a key that means nothing any more, and says so in Warnings. why is what is so now.
func (t *Table) Dropped(old, why string) {
	if t.Has(old) {
		delete(t.values, old)
		t.warnings = append(t.warnings, fmt.Sprintf("%s has no effect any more: %s; leave it out, since it ends with the next version", old, why))
	}
}

// Warnings are about what is still taken, each with the place of the table before it.
func (t *Table) Warnings() (list []string) {
	for _, w := range t.warnings {
		list = append(list, t.place+": "+w)
	}
	return list
}

// End notes keys that nothing has asked for, and returns all faults, each with the place of the table before it.
func (t *Table) End() error {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(t.known, key) {
			t.Fault("", "unknown key %.40q; %s", key, Instead(key, t.known, `"`, `"`))
		}
	}
	return t.Faults()
}

// Faults are those found so far, each with the place of the table before it.
func (t *Table) Faults() error { return t.Place(t.faults...) }

// Place puts the place of the table before faults. Joined ones are taken apart.
func (t *Table) Place(faults ...error) error {
	var all []error
	for _, fault := range faults {
		if joined, ok := fault.(interface{ Unwrap() []error }); ok && strings.Contains(fault.Error(), "\n") {
			all = append(all, t.Place(joined.Unwrap()...))
		} else if fault != nil {
			all = append(all, fmt.Errorf("%s: %w", t.place, fault))
		}
	}
	return errors.Join(all...)
}
