package main

import (
	"fmt"
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
