package setting

import (
	"errors"

	"github.com/urfave/cli/v2"
)

// Tables is the value of a flag, for cli.GenericFlag, that stands for tables of the configuration file. The command line cannot
// set it.
type Tables struct {
	List []*Table
	One  bool // [section.key] and not [[section.key]]
}

// Set refuses the flag on the command line.
func (t *Tables) Set(string) error {
	return errors.New("tables stand in a configuration file; see --config")
}

func (t *Tables) String() string { return "" }

// TablesOf are the tables of a flag.
func TablesOf(c *cli.Context, flag string) []*Table { return c.Generic(flag).(*Tables).List }
