package setting

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
)

// Renamed is the warning about an old name that is still taken.
func Renamed(old, now string) string {
	return fmt.Sprintf("%s is called %s now; the old name ends with the next version", old, now)
}

// OldNames are the names that a flag had before: its aliases of more than one letter. No help shows them.
func OldNames(f cli.Flag) []string {
	return slices.DeleteFunc(slices.Clone(f.Names()[1:]), func(name string) bool { return len(name) == 1 || name == f.Names()[0] })
}

// NewName is the name that a flag has now, if it is known under an old one.
func NewName(old string, flags []cli.Flag) (string, bool) {
	for _, f := range flags {
		if slices.Contains(OldNames(f), old) {
			return f.Names()[0], true
		}
	}
	return "", false
}
