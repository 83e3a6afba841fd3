package setting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Choice is the value that a flag chooses by one of a few words.
func Choice[T any](c *cli.Context, flag string, words []string, values ...T) (v T, err error) {
	i := slices.Index(words, c.String(flag))
	if i < 0 {
		return v, fmt.Errorf("%s: %q is unknown; use %s", flag, c.String(flag), strings.Join(words, " or "))
	}
	return values[i], nil
}
