package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// A configuration file is TOML. It has a section for each daemon, and in it a key for each flag:
//
//	[agent]
//	manager = ["192.0.2.10"]     # --manager 192.0.2.10
//	notify_time = "5m"           # --notify-time 5m
//
// Flags of a category have a table of that name, whose keys are without it:
//
//	[manager.enroll]
//	listen = ":1515"             # --enroll-listen :1515
//
// What one line cannot say has tables, any number of them, which set a hidden flag with the table as JSON; what is in them is
// for the daemon to check:
//
//	[[agent.source]]
//	type = "journald"
//
// So does a single one, [agent.active_response].
//
// One file can serve both daemons of a host. Whichever reads it checks all of it.

const (
	maxConfigSize = 1 << 20 // bytes
	maxFaults     = 50      // faults that are listed
)

// sections are the flags of each section's command.
type sections map[string][]cli.Flag

// fault is one thing wrong with a configuration file.
type fault struct {
	file string
	line int // from 1; 0 where the file as a whole is meant
	text string
}

func (f fault) Error() string {
	if f.line == 0 {
		return fmt.Sprintf("%s: %s", f.file, f.text)
	}
	return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.text)
}

// configure gives a daemon's command --config, and has the log set up before its action. With --check it goes on to
// the action despite faults of the file, so that all faults are reported at once.
func configure(c *cli.Command, known sections, stderr io.Writer) {
	c.Flags = append([]cli.Flag{&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with a key for each flag (notify_time for --notify-time) in [" + c.Name + "]; flags win"}}, c.Flags...)
	action := c.Action
	c.Action = func(ctx *cli.Context) error {
		from, err := setFromFile(ctx, known)
		log, logErr := newLog(stderr, ctx.String("log-format"), ctx.String("log-level"))
		err = errors.Join(err, logErr)
		if err != nil && !ctx.Bool("check") {
			return cli.Exit(from.place(err.Error()), exitUsage)
		}
		if log != nil {
			slog.SetDefault(log)
		}
		if err != nil {
			ctx.App.Writer = io.Discard // nothing is in order
			return cli.Exit(from.place(errors.Join(err, action(ctx)).Error()), exitUsage)
		}
		if err = action(ctx); err != nil && exitCode(err) == exitUsage {
			return cli.Exit(from.place(err.Error()), exitUsage)
		}
		return err
	}
}

// origin tells where in a configuration file the flags stand that it has set.
type origin struct {
	file  string
	lines map[string]int // by key
}

// place puts file and line before those faults, one a line, that begin with the key or the flag of a setting from the
// file: "crypto: ...".
func (o origin) place(faults string) string {
	lines := strings.Split(faults, "\n")
	for i, text := range lines {
		name, _, _ := strings.Cut(text, ":")
		if line, ok := o.lines[keyOf(name)]; ok && !strings.HasPrefix(text, o.file+":") {
			lines[i] = fault{o.file, line, text}.Error()
		}
	}
	return strings.Join(lines, "\n")
}

// setFromFile sets the flags which the file of --config has and the command line has not.
func setFromFile(ctx *cli.Context, known sections) (from origin, err error) {
	path := ctx.String("config")
	if path == "" {
		if ctx.IsSet("config") {
			return from, errors.New("--config needs the name of a file")
		}
		return from, nil
	}
	text, err := readConfig(path)
	if err != nil {
		return from, err
	}
	settings, lines, err := parseConfig(path, text, known)
	from = origin{path, make(map[string]int)}
	for _, f := range known[ctx.Command.Name] {
		flag := f.Names()[0]
		values, set := settings[ctx.Command.Name][flag]
		if !set || ctx.IsSet(flag) {
			continue
		}
		from.lines[flagKey(f)] = lines[ctx.Command.Name][flag]
		for _, v := range values {
			if e := ctx.Set(flag, v); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %s: %w", path, flagKey(f), e))
			}
		}
	}
	for name, line := range lines[ctx.Command.Name] {
		if strings.HasSuffix(name, "]") {
			from.lines[name] = line
		}
	}
	return from, err
}

func readConfig(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("configuration: %w; name a TOML file that this user may read", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxConfigSize {
		return "", fault{path, 0, fmt.Sprintf("is over %d bytes; is it the right file?", maxConfigSize)}
	}
	return string(text), nil
}

// settings are the values to set, by section and flag name; several for a flag that can be repeated.
type settings map[string]map[string][]string

// settingLines are the lines on which they stand. Tables have lines of their own, under "source[1]" and so on.
type settingLines map[string]map[string]int

// parseConfig reads a configuration file. It returns the good settings and every fault, in the order of their
// lines.
func parseConfig(file, text string, known sections) (settings, settingLines, error) {
	var top map[string]toml.Primitive
	meta, err := toml.Decode(text, &top)
	if err != nil {
		return nil, nil, locate(file, err)
	}
	p := parser{file: file, text: text, meta: meta, known: known, found: make(settings), lines: make(settingLines)}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		p.section(name, top[name])
	}
	slices.SortFunc(p.faults, func(a, b fault) int { return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text)) })
	var all []error
	for _, f := range p.faults {
		all = append(all, f)
	}
	if p.more > 0 {
		all = append(all, fault{file, 0, fmt.Sprintf("%d more faults", p.more)})
	}
	return p.found, p.lines, errors.Join(all...)
}

// parser goes through the sections of a file.
type parser struct {
	file   string
	text   string
	meta   toml.MetaData
	known  sections
	found  settings
	lines  settingLines
	faults []fault // maxFaults at most
	more   int     // faults beyond these
}

func (p *parser) section(name string, section toml.Primitive) {
	flags, ok := p.known[name]
	if !ok {
		p.at(section, fmt.Errorf("unknown section or key %q; did you mean [%s]?", name, nearest(name, slices.Sorted(maps.Keys(p.known)))))
		return
	}
	var v any
	var keys map[string]toml.Primitive
	err := errors.Join(p.meta.PrimitiveDecode(section, &v), p.meta.PrimitiveDecode(section, &keys))
	if _, isTable := v.(map[string]any); !isTable || err != nil {
		p.at(section, fmt.Errorf("%q is a section; write [%s] on a line of its own and the keys below", name, name))
		return
	}
	p.found[name], p.lines[name] = make(map[string][]string), make(map[string]int)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		p.key(name, flags, key, keys[key])
	}
}

func (p *parser) key(section string, flags []cli.Flag, key string, value toml.Primitive) {
	var names []string
	inTable := make(map[string]cli.Flag) // the flags of which it is the category, by their keys there
	for _, f := range flags {
		name := flagKey(f)
		if table, rest, ok := strings.Cut(name, "."); ok && table == key {
			inTable[rest] = f
		}
		if name == "config" {
			continue // a file names no other
		}
		if name == key && isTables(f) {
			p.at(value, p.tables(section, name, value))
			return
		}
		if name == key && isTable(f) {
			p.at(value, p.table(section, f, value))
			return
		}
		if name == key {
			p.at(value, p.set(section, f, value))
			return
		}
		names = append(names, name)
	}
	if len(inTable) > 0 {
		p.flagTable(section, key, inTable, value)
		return
	}
	p.at(value, fmt.Errorf("unknown key %q in [%s]; did you mean %q?", key, section, nearest(key, names)))
}

// flagTable takes a table whose keys are flags.
func (p *parser) flagTable(section, table string, flags map[string]cli.Flag, value toml.Primitive) {
	var v any
	var keys map[string]toml.Primitive
	err := errors.Join(p.meta.PrimitiveDecode(value, &v), p.meta.PrimitiveDecode(value, &keys))
	if _, isTable := v.(map[string]any); !isTable || err != nil {
		p.at(value, fmt.Errorf("%s in [%s] is a table; write [%s.%s] on a line of its own and its keys below", table, section, section, table))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if f := flags[key]; f != nil {
			p.at(keys[key], p.set(section, f, keys[key]))
			continue
		}
		p.at(keys[key], fmt.Errorf("unknown key %q in [%s.%s]; did you mean %q?", key, section, table, nearest(key, slices.Collect(maps.Keys(flags)))))
	}
}

// set takes the value of a flag's key.
func (p *parser) set(section string, f cli.Flag, value toml.Primitive) error {
	var v any
	if err := p.meta.PrimitiveDecode(value, &v); err != nil {
		return err
	}
	values, want := flagValues(f, v)
	if want != "" {
		return fmt.Errorf("%s in [%s] wants %s, not %s", flagKey(f), section, want, describeValue(v))
	}
	p.found[section][f.Names()[0]], p.lines[section][f.Names()[0]] = values, p.line(value)
	return nil
}

// tables takes an array of tables.
func (p *parser) tables(section, key string, value toml.Primitive) error {
	var contents []map[string]any
	if p.meta.PrimitiveDecode(value, &contents) != nil {
		return fmt.Errorf("%s in [%s] is made of tables; write [[%s.%s]] on a line of its own and its keys below", key, section, section, key)
	}
	lines := p.tableLines(section, key)
	for i, content := range contents {
		text, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("%s[%d] in [%s]: %w", key, i+1, section, err) // a float that JSON has not
		}
		p.found[section][key] = append(p.found[section][key], string(text))
		if len(lines) == len(contents) {
			p.lines[section][fmt.Sprintf("%s[%d]", key, i+1)] = lines[i]
		}
	}
	return nil
}

// table takes a single table.
func (p *parser) table(section string, f cli.Flag, value toml.Primitive) error {
	name := f.Names()[0]
	var content map[string]any
	if p.meta.PrimitiveDecode(value, &content) != nil || content == nil {
		return fmt.Errorf("%s in [%s] is a table; write [%s.%s] on a line of its own and its keys below", keyOf(name), section, section, keyOf(name))
	}
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("%s in [%s]: %w", keyOf(name), section, err) // a float that JSON has not
	}
	p.found[section][name], p.lines[section][name] = []string{string(text)}, p.line(value)
	return nil
}

// tableLines are the lines of the heads [[section.key]]. The library knows the last one alone. Tables may be written in
// other ways, too; these have no lines.
func (p *parser) tableLines(section, key string) (lines []int) {
	n := 0
	for text := range strings.Lines(p.text) {
		n++
		text, _, _ = strings.Cut(text, "#")
		if strings.Join(strings.Fields(text), "") == "[["+section+"."+key+"]]" {
			lines = append(lines, n)
		}
	}
	return lines
}

// isTable says that a flag is for one table.
func isTable(f cli.Flag) bool {
	s, ok := f.(*cli.StringFlag)
	return ok && s.Hidden
}

// isTables says that a flag is for an array of tables.
func isTables(f cli.Flag) bool {
	s, ok := f.(*cli.StringSliceFlag)
	return ok && s.Hidden
}

// at notes what is wrong with a value, if anything, with its line.
func (p *parser) at(value toml.Primitive, err error) {
	switch {
	case err == nil:
		return
	case len(p.faults) == maxFaults:
		p.more++
		return
	}
	p.faults = append(p.faults, fault{p.file, p.line(value), err.Error()})
}

// line is the line of a value. The library tells it only with an error from decoding the value, and not for tables
// that are there by the dots of their keys alone: theirs is the first of their keys.
func (p *parser) line(value toml.Primitive) int {
	var located toml.ParseError
	if errors.As(p.meta.PrimitiveDecode(value, &refusal{errors.New("refused")}), &located) && located.Position.Line > 0 {
		return located.Position.Line
	}
	var keys map[string]toml.Primitive
	if p.meta.PrimitiveDecode(value, &keys) != nil || len(keys) == 0 {
		return 0
	}
	first := math.MaxInt
	for _, v := range keys {
		first = min(first, p.line(v))
	}
	return first
}

// refusal is a value that cannot be decoded.
type refusal struct{ err error }

func (r *refusal) UnmarshalTOML(any) error { return r.err }

// locate gives a syntax error its file and line.
func locate(file string, err error) error {
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return fault{file, syntax.Position.Line, syntax.Message}
	}
	return fault{file, 0, err.Error()}
}

// flagValues is v as texts to set a flag with, or what the flag wants instead.
func flagValues(f cli.Flag, v any) (values []string, want string) {
	switch f.(type) {
	case *cli.BoolFlag:
		if b, ok := v.(bool); ok {
			return []string{strconv.FormatBool(b)}, ""
		}
		return nil, "true or false"
	case *cli.IntFlag:
		if n, ok := v.(int64); ok {
			return []string{strconv.FormatInt(n, 10)}, ""
		}
		return nil, "an integer"
	case *cli.DurationFlag:
		if s, ok := v.(string); ok {
			if _, err := time.ParseDuration(s); err == nil {
				return []string{s}, ""
			}
		}
		return nil, `a duration such as "90s" or "5m"`
	case *cli.StringSliceFlag:
		list, ok := v.([]any)
		for _, e := range list {
			s, isString := e.(string)
			ok = ok && isString
			values = append(values, s)
		}
		if ok && len(list) > 0 {
			return values, ""
		}
		return nil, `an array of strings such as ["one", "two"]`
	}
	if s, ok := v.(string); ok {
		return []string{s}, ""
	}
	return nil, "a string"
}

func describeValue(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%.40q", v)
	case int64, float64, bool:
		return fmt.Sprint(v)
	case []any:
		if len(v) == 0 {
			return "an empty array"
		}
		return "an array of other values"
	case time.Time:
		return "a date or time"
	}
	return "a table"
}

// keyOf is a flag's name as one of a key.
func keyOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// flagKey is a flag's key in its section of a file, with a dot behind the table where it has one.
func flagKey(f cli.Flag) string {
	name := f.Names()[0]
	if c, ok := f.(cli.CategorizableFlag); ok && c.GetCategory() != "" {
		name = c.GetCategory() + "." + strings.TrimPrefix(name, c.GetCategory()+"-")
	}
	return keyOf(name)
}

func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()[0])
	}
	return names
}

// nearest is the known word that is fewest edits away.
func nearest(word string, known []string) string {
	word = word[:min(len(word), 100)]
	distance := func(k string) int { return smetrics.WagnerFischer(word, k, 1, 1, 1) }
	return slices.MinFunc(known, func(a, b string) int { return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b)) })
}
