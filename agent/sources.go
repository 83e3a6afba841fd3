package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ossecd/agent/response"
	"ossecd/agent/source"
	"ossecd/agent/source/command"
	"ossecd/agent/source/eventlog"
	"ossecd/agent/source/file"
	"ossecd/agent/source/journald"
	"ossecd/agent/source/socket"
	"ossecd/agent/source/syslog"
	"ossecd/keys/setting"
)

// sourcesDir is the directory, in that of the state, with the positions of the sources of tables.
const sourcesDir = "sources"

// sources makes the sources that the configuration names, and says all that is wrong with them. Nothing is opened, made
// or run.
func (c *Config) sources(log *slog.Logger) ([]source.Source, error) {
	list := c.Sources
	if len(c.Files) > 0 {
		f, err := file.New(file.Config{
			Globs: c.Files, FromStart: c.FromStart, Finish: c.ExitWhenIdle,
			Positions: filepath.Join(c.State, "positions.json"),
			MaxEvent:  c.maxEvent(), Log: log,
		})
		if err != nil {
			return nil, err
		}
		list = append([]source.Source{f}, list...)
	}
	stock, err := c.stockSource(log)
	if err != nil {
		return nil, err
	}
	if stock != nil {
		list = append(slices.Clip(list), stock)
	}
	tables, err := c.tableSources(log)
	return append(list, tables...), err
}

// responses makes what obeys orders for active responses, nil where that is not enabled. Each fault begins with
// "active_response: ".
func (c *Config) responses(log *slog.Logger) (*response.Source, error) {
	if c.ActiveResponse == "" {
		return nil, nil
	}
	t, err := parseTable(c.ActiveResponse)
	if err != nil {
		return nil, fmt.Errorf("active_response: %w", err)
	}
	stock := c.inStock(stockResponses)
	if stock != "" {
		if stock, err = filepath.Abs(stock); err != nil {
			return nil, fmt.Errorf("active_response: %w", err)
		}
	}
	enabled, cfg := t.yes("enabled"), response.Config{
		Dir: cmp.Or(t.text("dir"), stock), Allow: t.texts("allow"),
		Names: filepath.Join(c.sharedDir(), "ar.conf"), State: filepath.Join(c.State, "active-responses.json"), Log: log,
	}
	err = t.end()
	var s *response.Source
	if enabled {
		var fault error
		s, fault = response.New(cfg)
		err = errors.Join(err, fault)
	}
	var faults []error
	for _, fault := range each(err) {
		faults = append(faults, fmt.Errorf("active_response: %w", fault))
	}
	return s, errors.Join(faults...)
}

// sourceName is what the log calls a source: the package that it is of.
func sourceName(src source.Source) string {
	return strings.TrimPrefix(strings.TrimSuffix(fmt.Sprintf("%T", src), ".Source"), "*")
}

// tableSources makes the sources of the tables [[agent.source]]. Each fault begins with "source[N]: ", N from
// 1, and has nil in place of its source.
func (c *Config) tableSources(log *slog.Logger) ([]source.Source, error) {
	var list []source.Source
	var faults []error
	names := make(map[string]int) // tables by the name of their state
	for i, text := range c.Tables {
		src, name, err := c.tableSource(text, log)
		if first, taken := names[name]; taken && name != "" {
			err = errors.Join(err, fmt.Errorf("name: source[%d] keeps its state under %q too; give one of them a name of its own", first, name))
		} else {
			names[name] = i + 1
		}
		for _, fault := range each(err) {
			faults = append(faults, fmt.Errorf("source[%d]: %w", i+1, fault))
			src = nil
		}
		list = append(list, src)
	}
	return list, errors.Join(faults...)
}

// each takes joined errors apart.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var list []error
		for _, e := range joined.Unwrap() {
			list = append(list, each(e)...)
		}
		return list
	}
	return []error{err}
}

// checkSources says what the sources of the tables lack on this host.
func (c *Config) checkSources() error {
	var faults []error
	list, _ := c.tableSources(slog.New(slog.DiscardHandler)) // Validate says what is wrong with them
	for i, src := range list {
		if s, ok := src.(interface{ Check() error }); ok {
			if err := s.Check(); err != nil {
				faults = append(faults, fmt.Errorf("source[%d]: %w", i+1, err))
			}
		}
	}
	if r, err := c.responses(slog.New(slog.DiscardHandler)); err == nil && r != nil {
		for _, fault := range each(r.Check()) {
			faults = append(faults, fmt.Errorf("active_response: %w", fault))
		}
	}
	return errors.Join(faults...)
}

// kinds make a source of a table. name is what the source's state is kept under, empty where it has none.
var kinds = map[string]func(c *Config, t *table, log *slog.Logger) (src source.Source, name string, err error){
	"file":         (*Config).fileTable,
	"command":      (*Config).commandTable,
	"full_command": (*Config).commandTable,
	"journald":     (*Config).journaldTable,
	"eventlog":     (*Config).eventlogTable,
	"syslog":       (*Config).syslogTable,
	"socket":       (*Config).socketTable,
}

func (c *Config) tableSource(text string, log *slog.Logger) (source.Source, string, error) {
	t, err := parseTable(text)
	if err != nil {
		return nil, "", err
	}
	kind := t.text("type")
	build := kinds[kind]
	if build == nil {
		known := slices.Sorted(maps.Keys(kinds))
		switch {
		case len(t.faults) > 0:
			return nil, "", errors.Join(t.faults...)
		case kind == "":
			return nil, "", fmt.Errorf("type: none given; say what it is: %s", strings.Join(known, ", "))
		}
		return nil, "", fmt.Errorf("type: %.40q is unknown; %s", kind, setting.Instead(kind, known, `"`, `"`))
	}
	src, name, err := build(c, t, log.With("source", kind))
	return src, name, errors.Join(t.end(), err)
}

// stateFile is the path of a file with the state of a source: its kind and name make the file's name.
func (c *Config) stateFile(t *table, kind string) (path, name string) {
	name = t.text("name")
	if name == "" {
		name = kind
	}
	if len(name) > maxStateName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		t.fault("name: %.80q; use up to %d of the letters a-z and A-Z, digits, - and _", name, maxStateName)
		name = kind
	}
	name = kind + "-" + strings.ToLower(name) // some file systems know no difference
	return filepath.Join(c.State, sourcesDir, name+".json"), name
}

func (c *Config) fileTable(t *table, log *slog.Logger) (source.Source, string, error) {
	path, name := c.stateFile(t, "file")
	src, err := file.New(file.Config{
		Globs: t.texts("globs"), Exclude: t.texts("exclude"), FromStart: t.yes("from_start"), Location: t.location(),
		Encoding: t.text("encoding"), MultilineStart: t.text("multiline_start"), MultilineTimeout: t.duration("multiline_timeout"),
		Compressed: t.yes("compressed"),
		Finish:     c.ExitWhenIdle, Positions: path, MaxEvent: c.maxEvent(), Log: log,
	})
	return src, name, err
}

func (c *Config) commandTable(t *table, log *slog.Logger) (source.Source, string, error) {
	var kind string
	t.take("type", &kind, "")
	src, err := command.New(command.Config{
		Command: t.texts("command"), Shell: t.text("shell"), Whole: kind == "full_command",
		Alias: t.text("alias"), Location: t.location(),
		Interval: t.duration("interval"), Timeout: t.duration("timeout"), MaxOutput: int(t.size("max_output", 1, command.MostOutput)),
		MaxEvent: c.maxEvent(), Finish: c.ExitWhenIdle, Log: log,
	})
	return src, "", err
}

func (c *Config) journaldTable(t *table, log *slog.Logger) (source.Source, string, error) {
	path, name := c.stateFile(t, "journald")
	src, err := journald.New(journald.Config{
		Units: t.texts("units"), Identifiers: t.texts("identifiers"), Priority: t.text("priority"), FromStart: t.yes("from_start"),
		Location: t.location(), State: path, MaxEvent: c.maxEvent(), Finish: c.ExitWhenIdle, Log: log,
	})
	return src, name, err
}

func (c *Config) eventlogTable(t *table, log *slog.Logger) (source.Source, string, error) {
	path, name := c.stateFile(t, "eventlog")
	src, err := eventlog.New(eventlog.Config{
		Channels: t.texts("channels"), Query: t.text("query"), FromStart: t.yes("from_start"),
		Location: t.location(), State: path, MaxEvent: c.maxEvent(), Finish: c.ExitWhenIdle, Log: log,
	})
	return src, name, err
}

func (c *Config) syslogTable(t *table, log *slog.Logger) (source.Source, string, error) {
	src, err := syslog.New(syslog.Config{
		Listen: t.text("listen"), Protocols: t.texts("protocols"), Allow: t.texts("allow"), Location: t.location(),
		IdleTimeout: t.duration("idle_timeout"), MaxEvent: c.maxEvent(), Log: log,
	})
	return src, "", err
}

func (c *Config) socketTable(t *table, log *slog.Logger) (source.Source, string, error) {
	src, err := socket.New(socket.Config{Path: t.text("path"), Location: t.location(), MaxEvent: c.maxEvent(), Log: log})
	return src, "", err
}
