package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ossecd/keys/setting"
)

// table is one [[agent.source]] of the configuration file, as JSON. Each getter takes a key; what is left at the end is
// unknown. The zero value is returned for a key that is not there, or has a value of another kind, which is a fault.
type table struct {
	values map[string]json.RawMessage
	known  []string // keys asked for
	faults []error  // "KEY: WHAT; REMEDY"
}

func parseTable(text string) (*table, error) {
	t := &table{}
	if err := json.Unmarshal([]byte(text), &t.values); err != nil {
		return nil, fmt.Errorf("%.100q is no JSON object: %w; sources are for [[agent.source]] in a file, see --config", text, err)
	}
	return t, nil
}

func (t *table) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

// take decodes the value of a key into v, and says whether it was there and such.
func (t *table) take(key string, v any, want string) bool {
	t.known = append(t.known, key)
	text, ok := t.values[key]
	if !ok {
		return false
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.fault("%s: %.100s is of the wrong kind; give %s", key, text, want)
		return false
	}
	return true
}

func (t *table) text(key string) (s string) {
	if t.take(key, &s, "a string") && s == "" {
		t.fault("%s: is empty; give it a value, or leave it out", key)
	}
	return s
}

func (t *table) texts(key string) (list []string) {
	if !t.take(key, &list, `an array of strings such as ["one", "two"]`) {
		return nil
	}
	if len(list) == 0 || slices.Contains(list, "") {
		t.fault("%s: is empty, or has an empty string; fill it, or leave it out", key)
	}
	return list
}

func (t *table) yes(key string) (b bool) {
	t.take(key, &b, "true or false")
	return b
}

func (t *table) duration(key string) time.Duration {
	var s string
	const want = `a duration such as "90s" or "5m"`
	if !t.take(key, &s, want) {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		t.fault("%s: %.40q; give %s, above zero", key, s, want)
		return 0
	}
	return d
}

// size is in bytes, with a unit or without.
func (t *table) size(key string, least, most int64) int64 {
	t.known = append(t.known, key)
	text, ok := t.values[key]
	if !ok {
		return 0
	}
	n, err := setting.ParseSize(strings.Trim(string(text), `"`), 1)
	if err != nil || n < least || n > most {
		t.fault("%s: %.100s; give %s, from %s to %s", key, text, setting.WantSize, setting.FormatSize(least), setting.FormatSize(most))
		return 0
	}
	return n
}

// location is the common key: what stands in events for where they came from.
func (t *table) location() string {
	s := t.text("location")
	if len(s) > maxLocation || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.fault("location: %.40q is longer than %d bytes or has control characters; use a short line of text", s, maxLocation)
	}
	return s
}

// end says all that is wrong, unknown keys included.
func (t *table) end() error {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(t.known, key) {
			t.fault("unknown key %.40q; %s", key, setting.Instead(key, t.known, `"`, `"`))
		}
	}
	return errors.Join(t.faults...)
}
