package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/keys/setting"
)

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
	case *cli.GenericFlag: // a size
		text, ok := v.(string)
		if n, isInt := v.(int64); isInt {
			text, ok = strconv.FormatInt(n, 10), true
		}
		if _, err := setting.ParseSize(text, 1); ok && err == nil {
			return []string{text}, ""
		}
		return nil, setting.WantSize
	case *cli.DurationFlag:
		if s, ok := v.(string); ok {
			if _, err := time.ParseDuration(s); err == nil {
				return []string{s}, ""
			}
		}
		return nil, setting.WantDuration
	case *cli.StringSliceFlag:
		if list, ok := setting.Strings(v); ok {
			return list, ""
		}
		return nil, setting.WantStrings
	}
	if s, ok := v.(string); ok {
		return []string{s}, ""
	}
	return nil, "a string"
}

// tablesOf are the tables that a flag stands for, nil for another flag.
func tablesOf(f cli.Flag) *setting.Tables {
	g, ok := f.(*cli.GenericFlag)
	if !ok {
		return nil
	}
	t, _ := g.Value.(*setting.Tables)
	return t
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
