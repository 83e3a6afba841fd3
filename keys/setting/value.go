package setting

import (
	"fmt"
	"time"
)

// How values are written, for faults.
const (
	WantDuration = `a duration such as "90s" or "5m"`
	WantStrings  = `an array of strings such as ["one", "two"]`
)

// Strings makes a list of strings of a value that package toml has decoded.
func Strings(v any) (list []string, ok bool) {
	values, ok := v.([]any)
	for _, v := range values {
		s, isString := v.(string)
		ok = ok && isString
		list = append(list, s)
	}
	return list, ok && len(list) > 0
}

// Describe says what a value is that package toml has decoded.
func Describe(v any) string {
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
