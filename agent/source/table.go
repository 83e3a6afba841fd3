package source

import (
	"cmp"
	"log/slog"
	"path/filepath"
	"strings"

	"ossecd/keys/setting"
)

// Env is what the agent tells each source that it makes of a [Table].
type Env struct {
	State    string // directory for what must outlive the process
	MaxEvent int    // the longest "QUEUE:LOCATION:MESSAGE" that the channel takes
	Finish   bool   // read what there is and then call Idle, as for --exit-when-idle
	Log      *slog.Logger
}

// Table is one table [[agent.source]] of the configuration file, with the keys that several types have.
type Table struct {
	*setting.Table
	state string // what the name of the state file begins with; empty without one
}

// Types of sources whose names others ask for.
const (
	FullCommand = "full-command"
	OssecQueue  = "ossec-queue"
)

// OldTypes are today's names by the names that types had before.
var OldTypes = map[string]string{"full_command": FullCommand, "socket": OssecQueue}

const (
	maxLocation  = 512 // bytes
	maxStateName = 64
)

// NewTable begins to read a table.
func NewTable(t *setting.Table) *Table { return &Table{Table: t.Begin()} }

// Type is the key "type", by today's name. Kind says what is wrong with it.
func (t *Table) Type() string { return TypeNow(t.String("type", "")) }

// TypeNow is today's name of a type.
func TypeNow(kind string) string { return cmp.Or(OldTypes[kind], kind) }

// Location is what stands in events for where they came from.
func (t *Table) Location() string {
	s := t.String("location", "")
	if len(s) > maxLocation {
		t.Fault("location", "%.40q is longer than %d bytes; use a short line of text", s, maxLocation)
	}
	return s
}

// StateFile is the path of the file in which a source of this kind keeps its state. The key "name" tells those of one kind apart.
func (t *Table) StateFile(env Env, kind string) string {
	name := t.String("name", kind)
	if len(name) > maxStateName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		t.Fault("name", "%.80q; use up to %d of the letters a-z and A-Z, digits, - and _", name, maxStateName)
		name = kind
	}
	t.state = kind + "-" + strings.ToLower(name) // some file systems know no difference
	return filepath.Join(env.State, t.state+".json")
}

// StateName tells apart the state files of several tables. It is empty where a source keeps no state.
func (t *Table) StateName() string { return t.state }
