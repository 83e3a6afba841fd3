// Package collector builds the agent's sources and runs them: those of the host's configuration, and those that a manager pushes. To
// add a kind of source, write a package below agent/source and add a line to kinds.
package collector

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ossecd/agent/source"
	"ossecd/agent/source/command"
	"ossecd/agent/source/eventlog"
	"ossecd/agent/source/file"
	"ossecd/agent/source/journald"
	"ossecd/agent/source/socket"
	"ossecd/agent/source/syslog"
	"ossecd/keys/setting"
)

// kinds make a source of a table, by the type that it names.
var kinds = map[string]func(*source.Table, source.Env) (source.Source, error){
	"file":             file.FromTable,
	"command":          command.FromTable,
	source.FullCommand: command.FromTable,
	"journald":         journald.FromTable,
	"eventlog":         eventlog.FromTable,
	"syslog":           syslog.FromTable,
	source.OssecQueue:  socket.FromTable,
}

// Config says which sources there are.
type Config struct {
	State      string           // the agent's state directory, which has their positions
	Files      []string         // paths and globs of log files to follow
	FromStart  bool             // those met for the first time are read from their beginning
	Tables     []*setting.Table // each one [[agent.source]]
	Made       []source.Source  // elsewhere
	StockQueue string           // the local queue of a stock agent in whose place we run; empty without one
	MaxEvent   int              // as in source.Env
	Finish     bool             // likewise
}

// dir has the positions of the sources of tables.
func (c *Config) dir() string { return filepath.Join(c.State, "sources") }

// Make makes the sources, and says all that is wrong with them. Nothing is opened or run, and no file is made.
func (c *Config) Make(log *slog.Logger) ([]source.Source, error) {
	var list []source.Source
	var faults []error
	if len(c.Files) > 0 {
		f, err := file.New(file.Config{
			Globs: c.Files, FromStart: c.FromStart, Finish: c.Finish,
			Positions: filepath.Join(c.State, "positions.json"),
			MaxEvent:  c.MaxEvent, Log: log,
		})
		list, faults = append(list, f), append(faults, err)
	}
	list = append(list, c.Made...)
	if c.StockQueue != "" {
		s, err := socket.New(socket.Config{Path: c.StockQueue, MaxEvent: c.MaxEvent, StandIn: true, Log: log.With("source", source.OssecQueue)})
		if err != nil {
			err = fmt.Errorf("ossec-home: %w", err)
		}
		list, faults = append(list, s), append(faults, err)
	}
	tables, err := c.tables(log)
	return append(list, tables...), errors.Join(append(faults, err)...)
}

// Check says what the sources of the tables lack on this host.
func (c *Config) Check() error {
	var faults []error
	list, _ := c.tables(slog.New(slog.DiscardHandler)) // Make says what is wrong with them
	for i, src := range list {
		if s, ok := src.(interface{ Check() error }); ok {
			if err := s.Check(); err != nil {
				faults = append(faults, c.Tables[i].Place(err))
			}
		}
	}
	return errors.Join(faults...)
}

// OldNames are warnings about names in the tables that are still taken.
func (c *Config) OldNames() (warnings []string) {
	for _, stands := range c.Tables {
		t := source.NewTable(stands)
		c.table(t, slog.New(slog.DiscardHandler)) // Make says what is wrong
		warnings = append(warnings, t.Warnings()...)
	}
	return warnings
}

// Prepare makes the directory that the sources keep their state in. The error names who else is the agent of a stock layout: both would
// use up one sending counter.
func (c *Config) Prepare() error {
	if c.StockQueue != "" {
		if err := socket.InUse(c.StockQueue); err != nil {
			return fmt.Errorf("ossec-home: %w", err)
		}
	}
	if err := os.MkdirAll(c.dir(), 0o700); err != nil {
		return fmt.Errorf("state: %w; make the directory writable for this user", err)
	}
	return nil
}

// tables makes the sources of the tables. Each fault begins with the place of its table, and has nil in place
// of its source.
func (c *Config) tables(log *slog.Logger) ([]source.Source, error) {
	var list []source.Source
	var faults []error
	names := make(map[string]int) // tables by the name of their state
	for i, t := range c.Tables {
		src, name, err := c.table(source.NewTable(t), log)
		if first, taken := names[name]; taken && name != "" {
			err = errors.Join(err, t.Place(fmt.Errorf("name: source[%d] keeps its state under %q too; give one of them a name of its own", first, name)))
		} else {
			names[name] = i + 1
		}
		if err != nil {
			faults, src = append(faults, err), nil
		}
		list = append(list, src)
	}
	return list, errors.Join(faults...)
}

// table makes the source of a table. name is what the source's state is kept under, empty where it has none.
func (c *Config) table(t *source.Table, log *slog.Logger) (src source.Source, name string, err error) {
	kind := t.Kind(source.OldTypes, slices.Sorted(maps.Keys(kinds))...)
	make := kinds[kind]
	if make == nil {
		return nil, "", t.Faults()
	}
	src, err = make(t, source.Env{State: c.dir(), MaxEvent: c.MaxEvent, Finish: c.Finish, Log: log.With("source", kind)})
	return src, t.StateName(), errors.Join(t.End(), t.Place(err))
}

// Name is what the log calls a source: the package that it is of.
func Name(src source.Source) string {
	return strings.TrimPrefix(strings.TrimSuffix(fmt.Sprintf("%T", src), ".Source"), "*")
}
