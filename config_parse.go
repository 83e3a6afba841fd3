package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"ossecd/keys/setting"
)

// settings are what to set, by section and flag name.
type settings map[string]map[string]value

// value is what a flag is set to: texts, several for a flag that can be repeated, or tables.
type value struct {
	texts  []string
	tables []*setting.Table
	line   int
}

// renamedKeys are warnings about keys whose old name stands in the file, by section.
type renamedKeys map[string][]fault

// parseConfig reads a configuration file. It returns the good settings and every fault, in the order of their
// lines.
func parseConfig(file, text string, known sections) (settings, renamedKeys, error) {
	var top map[string]toml.Primitive
	meta, err := toml.Decode(text, &top)
	if err != nil {
		return nil, nil, locate(file, err)
	}
	p := parser{file: file, text: text, meta: meta, known: known, found: make(settings), renamed: make(renamedKeys)}
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
	return p.found, p.renamed, errors.Join(all...)
}

// parser goes through the sections of a file.
type parser struct {
	file    string
	text    string
	meta    toml.MetaData
	known   sections
	found   settings
	renamed renamedKeys
	faults  []fault // maxFaults at most
	more    int     // faults beyond these
}

func (p *parser) section(name string, section toml.Primitive) {
	flags, ok := p.known[name]
	if !ok {
		p.at(section, fmt.Errorf("unknown section or key %q; %s", name, setting.Instead(name, slices.Collect(maps.Keys(p.known)), "[", "]")))
		return
	}
	var v any
	var keys map[string]toml.Primitive
	err := errors.Join(p.meta.PrimitiveDecode(section, &v), p.meta.PrimitiveDecode(section, &keys))
	if _, isTable := v.(map[string]any); !isTable || err != nil {
		p.at(section, fmt.Errorf("%q is a section; write [%s] on a line of its own and the keys below", name, name))
		return
	}
	p.found[name] = make(map[string]value)
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
		if isOldKey(f, key) {
			p.at(value, p.oldKey(section, f, key, value))
			return
		}
		if t := tablesOf(f); name == key && t != nil {
			p.at(value, p.tables(section, f, t.One, value))
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
	p.at(value, fmt.Errorf("unknown key %q in [%s]; %s", key, section, setting.Instead(key, names, `"`, `"`)))
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
		p.at(keys[key], fmt.Errorf("unknown key %q in [%s.%s]; %s", key, section, table, setting.Instead(key, slices.Collect(maps.Keys(flags)), `"`, `"`)))
	}
}

// isOldKey says that a key is the old name of a flag.
func isOldKey(f cli.Flag, key string) bool {
	return slices.ContainsFunc(setting.OldNames(f), func(old string) bool { return keyOf(old) == key })
}

// oldKey takes the value of a flag's key under its old name.
func (p *parser) oldKey(section string, f cli.Flag, key string, value toml.Primitive) error {
	if p.meta.IsDefined(section, flagKey(f)) {
		return fmt.Errorf("%s in [%s] is the old name of %s, which is there too; leave it out", key, section, flagKey(f))
	}
	p.renamed[section] = append(p.renamed[section], fault{p.file, p.line(value), setting.Renamed(key, flagKey(f))})
	return p.set(section, f, value)
}

// set takes the value of a flag's key.
func (p *parser) set(section string, f cli.Flag, prim toml.Primitive) error {
	var v any
	if err := p.meta.PrimitiveDecode(prim, &v); err != nil {
		return err
	}
	texts, want := flagValues(f, v)
	if want != "" {
		return fmt.Errorf("%s in [%s] wants %s, not %s", flagKey(f), section, want, setting.Describe(v))
	}
	p.found[section][f.Names()[0]] = value{texts: texts, line: p.line(prim)}
	return nil
}

// tables takes an array of tables, or a single one.
func (p *parser) tables(section string, f cli.Flag, one bool, prim toml.Primitive) error {
	key, contents, lines := flagKey(f), make([]map[string]any, 1), []int{p.line(prim)}
	switch {
	case !one:
		if p.meta.PrimitiveDecode(prim, &contents) != nil {
			return fmt.Errorf("%s in [%s] is made of tables; write [[%s.%s]] on a line of its own and its keys below", key, section, section, key)
		}
		lines = p.tableLines(section, key)
	case p.meta.PrimitiveDecode(prim, &contents[0]) != nil || contents[0] == nil:
		return fmt.Errorf("%s in [%s] is a table; write [%s.%s] on a line of its own and its keys below", key, section, section, key)
	}
	v := value{line: p.line(prim)}
	for i, content := range contents {
		place := key
		if !one {
			place = fmt.Sprintf("%s[%d]", key, i+1)
		}
		at := fault{file: p.file, text: place}
		if len(lines) == len(contents) {
			at.line = lines[i]
		}
		v.tables = append(v.tables, setting.NewTable(at.Error(), content))
	}
	p.found[section][f.Names()[0]] = v
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
