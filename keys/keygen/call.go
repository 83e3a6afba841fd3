package keygen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
)

// call is one run of a subcommand.
type call struct {
	*cli.Context
	arg  string   // its first argument, where it has one
	args []string // all of them
	path string   // of the keys file, or the file of tokens
}

// start reads the command line and runs the subcommand, unless help is asked for. file is the flag that names the file it
// works on. argsUsage names its argument, or is empty where it has none.
func start(c *cli.Context, file, argsUsage string, run func(*call) error) error {
	args, help, err := parseArgs(c)
	if err != nil {
		return err
	}
	if help {
		return cli.ShowSubcommandHelp(c)
	}
	call := &call{Context: c, path: c.String(file), args: args}
	words := strings.Fields(argsUsage)
	least := len(words)
	if least > 0 && words[least-1][0] == '[' {
		least--
	}
	switch {
	case len(words) == 0 && len(args) > 0:
		return call.wrong("takes no argument, and %.140q is one", args[0])
	case len(args) < least:
		return call.wrong("needs %s", strings.Join(words[len(args):least], " and "))
	case len(args) > len(words) && len(words) == 1:
		return call.wrong("takes one argument, %s, and here are %d", strings.Trim(argsUsage, "[]"), len(args))
	case len(args) > len(words):
		return call.wrong("takes %s, and here are %d arguments", argsUsage, len(args))
	case call.path == "":
		return call.wrong("needs a file name after --%s", file)
	}
	if len(args) > 0 {
		call.arg = args[0]
	}
	if len(args) > 0 && strings.Trim(words[0], "[]") == "ID" && file == "keys" {
		if err := keys.CheckID(call.arg); err != nil {
			return cli.Exit(err.Error(), exitUsage)
		}
	}
	return run(call)
}

// wrong is the answer to wrong usage.
func (c *call) wrong(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return cli.Exit(fmt.Sprintf("%s %s; %s --help shows examples", strings.TrimPrefix(c.Command.HelpName, "ossecd "), text, c.Command.HelpName), exitUsage)
}

func (c *call) warn(format string, args ...any) {
	fmt.Fprintf(c.App.ErrWriter, "warning: "+format+"\n", args...)
}

// load reads the keys file and warns of what is wrong with it.
func (c *call) load() (*keys.Set, error) {
	set, faults, err := keys.Load(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; name the file with --keys, or make one with: ossecd keygen add NAME", err)
	}
	if err != nil {
		return nil, err
	}
	c.warnOfMode()
	for _, f := range faults {
		c.warn("%v", f)
	}
	return set, nil
}

// find is the key of the agent that the argument names.
func (c *call) find() (keys.Key, error) {
	set, err := c.load()
	if err != nil {
		return keys.Key{}, err
	}
	k, ok := set.ByID(c.arg)
	if !ok {
		return k, fmt.Errorf("%w: %q is not in %s; ossecd keygen list shows all", keys.ErrNoAgent, c.arg, c.path)
	}
	return k, nil
}

// loadNoted reads the keys file and what is noted beside it.
func (c *call) loadNoted() (*keys.Set, *keys.Notes, error) {
	notes, err := keys.LoadNotes(c.path) // first: see keys.Store
	if err != nil {
		return nil, nil, err
	}
	set, err := c.load()
	return set, notes, err
}

// findNoted is the key of the agent that the argument names, and what is noted of it.
func (c *call) findNoted() (keys.Key, keys.Note, error) {
	notes, err := keys.LoadNotes(c.path)
	if err != nil {
		return keys.Key{}, keys.Note{}, err
	}
	k, err := c.find()
	return k, notes.Of(k), err
}

// edit changes the keys file.
func (c *call) edit(change func(*keys.File) error) error {
	if err := keys.Edit(c.Context.Context, c.path, change); err != nil {
		return err
	}
	c.warnOfMode()
	return nil
}

// warnOfMode warns where others than the file's owner and group have access to it. Windows has no such mode.
func (c *call) warnOfMode() {
	info, err := os.Stat(c.path)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o007 == 0 {
		return
	}
	c.warn("every user of this machine has access to %s, and so to what is in it (mode %04o); run: chmod o-rwx %s",
		c.path, info.Mode().Perm(), c.path)
}

// parseArgs separates the arguments from the flags behind them, which cli leaves among them, and sets those flags. The
// first is an argument whatever it looks like: had it been a flag, cli would have taken it. A lone "--" ends the flags.
func parseArgs(c *cli.Context) (args []string, help bool, err error) {
	rest := c.Args().Slice()
	if len(rest) > 0 && len(rest[0]) > 1 && rest[0][0] == '-' {
		return rest, false, nil // it stood behind a "--"
	}
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		if arg == "--" {
			return append(args, rest...), help, nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			args = append(args, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		switch f := flagNamed(c, name); {
		case name == "help" || name == "h":
			help = true
			continue
		case f == nil:
			return nil, false, wrongFlag(c, fmt.Errorf("flag provided but not defined: -%s", name))
		case hasValue:
		case isBool(f):
			value = "true"
		case len(rest) == 0:
			return nil, false, wrongFlag(c, fmt.Errorf("flag needs an argument: -%s", name))
		default:
			value, rest = rest[0], rest[1:]
		}
		if err := c.Set(name, value); err != nil {
			return nil, false, wrongFlag(c, fmt.Errorf("invalid value %q for flag -%s: %w", value, name, err))
		}
	}
	return args, help, nil
}

func flagNamed(c *cli.Context, name string) cli.Flag {
	for _, f := range c.Command.Flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func isBool(f cli.Flag) bool {
	_, ok := f.(*cli.BoolFlag)
	return ok
}

// wrongFlag answers a flag behind the argument as one in front of it is answered.
func wrongFlag(c *cli.Context, err error) error {
	if c.Command.OnUsageError != nil {
		return c.Command.OnUsageError(c, err, true)
	}
	return cli.Exit(err.Error(), exitUsage)
}
