package source

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ossecd/keys/setting"
)

// Env is what the agent tells each source that it makes of a [Table].
type Env struct {
	State    string // directory for what must outlive the process
	MaxEvent int    // the longest "QUEUE:LOCATION:MESSAGE" that the channel takes
	Finish   bool   // read what there is and then call Idle, as for --exit-when-idle
	Log      *slog.Logger
}

// Table is one table [[agent.source]] of the configuration file. Each getter takes a key; a key that no getter took is unknown.
// The zero value is returned for a key that is missing, or whose value is of another kind, which is a fault.
type Table struct {
	values map[string]json.RawMessage
	known  []string // keys asked for
	faults []error  // "KEY: WHAT; REMEDY"
	state  string   // what the name of the state file begins with; empty without one

	warnings []string // about old names that are still taken
}

// Types of sources whose names others ask for.
const (
	FullCommand = "full-command"
	OssecQueue  = "ossec-queue"
)

// oldTypes are names that types had before.
var oldTypes = map[string]string{"full_command": FullCommand, "socket": OssecQueue}

const (
	maxLocation  = 512 // bytes
	maxStateName = 64
)

// ParseTable reads a table that stands as a JSON object.
func ParseTable(text string) (*Table, error) {
	t := &Table{}
	if err := json.Unmarshal([]byte(text), &t.values); err != nil {
		return nil, fmt.Errorf("%.100q is no JSON object: %w; sources are for [[agent.source]] in a file, see --config", text, err)
	}
	return t, nil
}

// Fault notes what is wrong, as "KEY: WHAT; REMEDY".
func (t *Table) Fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

// Type is the key "type", by today's name.
func (t *Table) Type() string {
	kind := t.Text("type")
	if now := oldTypes[kind]; now != "" {
		t.values["type"] = strconv.AppendQuote(nil, now)
		t.warnings = append(t.warnings, setting.Renamed("type "+kind, now))
		return now
	}
	return kind
}

// TypeNow is today's name of a type.
func TypeNow(kind string) string { return cmp.Or(oldTypes[kind], kind) }

// Renamed takes the value of a key under its old name, and says so in Warnings.
func (t *Table) Renamed(old, key string) {
	text, ok := t.values[old]
	if !ok {
		return
	}
	delete(t.values, old)
	if _, both := t.values[key]; both {
		t.Fault("%s: is the old name of %s, which is there too; leave it out", old, key)
		return
	}
	t.values[key] = text
	t.warnings = append(t.warnings, setting.Renamed(old, key))
}

// Warnings are about old names that are still taken.
func (t *Table) Warnings() []string { return t.warnings }

// take decodes the value of a key into v, and says whether it was there and such.
func (t *Table) take(key string, v any, want string) bool {
	t.known = append(t.known, key)
	text, ok := t.values[key]
	if !ok {
		return false
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fault("%s: %.100s is of the wrong kind; give %s", key, text, want)
		return false
	}
	return true
}

// Text is a string that is not empty.
func (t *Table) Text(key string) (s string) {
	if t.take(key, &s, "a string") && s == "" {
		t.Fault("%s: is empty; give it a value, or leave it out", key)
	}
	return s
}

// Texts is an array of strings, none of them empty.
func (t *Table) Texts(key string) (list []string) {
	if !t.take(key, &list, `an array of strings such as ["one", "two"]`) {
		return nil
	}
	if len(list) == 0 || slices.Contains(list, "") {
		t.Fault("%s: is empty, or has an empty string; fill it, or leave it out", key)
	}
	return list
}

// Bool is true or false.
func (t *Table) Bool(key string) (b bool) {
	t.take(key, &b, "true or false")
	return b
}

// Duration is above zero.
func (t *Table) Duration(key string) time.Duration {
	var s string
	const want = `a duration such as "90s" or "5m"`
	if !t.take(key, &s, want) {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		t.Fault("%s: %.40q; give %s, above zero", key, s, want)
		return 0
	}
	return d
}

// Size is in bytes, with a unit or without.
func (t *Table) Size(key string, least, most int64) int64 {
	t.known = append(t.known, key)
	text, ok := t.values[key]
	if !ok {
		return 0
	}
	n, err := setting.ParseSize(strings.Trim(string(text), `"`), 1)
	if err != nil || n < least || n > most {
		t.Fault("%s: %.100s; give %s, from %s to %s", key, text, setting.WantSize, setting.FormatSize(least), setting.FormatSize(most))
		return 0
	}
	return n
}

// Location is the common key: what stands in events for where they came from.
func (t *Table) Location() string {
	s := t.Text("location")
	if len(s) > maxLocation || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Fault("location: %.40q is longer than %d bytes or has control characters; use a short line of text", s, maxLocation)
	}
	return s
}

// End says all that is wrong, unknown keys included.
func (t *Table) End() error {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(t.known, key) {
			t.Fault("unknown key %.40q; %s", key, setting.Instead(key, t.known, `"`, `"`))
		}
	}
	return t.Faults()
}

// Faults is all that was found wrong so far.
func (t *Table) Faults() error { return errors.Join(t.faults...) }

// StateFile is the path of the file in which a source of this kind keeps its state. The key "name" tells those of one kind apart.
func (t *Table) StateFile(env Env, kind string) string {
	name := t.Text("name")
	if name == "" {
		name = kind
	}
	if len(name) > maxStateName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		t.Fault("name: %.80q; use up to %d of the letters a-z and A-Z, digits, - and _", name, maxStateName)
		name = kind
	}
	t.state = kind + "-" + strings.ToLower(name) // some file systems know no difference
	return filepath.Join(env.State, t.state+".json")
}

// StateName tells apart the state files of several tables. It is empty where a source keeps no state.
func (t *Table) StateName() string { return t.state }

// Prefix puts a prefix in front of each of the errors that are joined in err.
func Prefix(prefix string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var list []error
		for _, e := range joined.Unwrap() {
			list = append(list, Prefix(prefix, e))
		}
		return errors.Join(list...)
	}
	return fmt.Errorf("%s%w", prefix, err)
}
