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
	"ossecd/keys/named"
	"ossecd/proto/printable"
)

// call is one run of a subcommand.
type call struct {
	*cli.Context
	arg   string   // its first argument, where it has one
	args  []string // all of them
	named bool     // arg names an agent
	path  string   // of the keys file, or the file of tokens
}

// start looks at the arguments and runs the subcommand. file is the flag that names the file it
// works on. argsUsage names its argument, or is empty where it has none.
func start(c *cli.Context, file, argsUsage string, run func(*call) error) error {
	args := c.Args().Slice()
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
		if err := named.Check(call.arg); err != nil {
			return cli.Exit(err.Error(), exitUsage)
		}
		call.named = true
	}
	return run(call)
}

// wrong is the answer to wrong usage.
func (c *call) wrong(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return cli.Exit(fmt.Sprintf("%s %s; %s --help shows examples", strings.TrimPrefix(c.Command.HelpName, "ossecd "), text, c.Command.HelpName), exitUsage)
}

func (c *call) warn(format string, args ...any) {
	fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", printable.Text(fmt.Sprintf(format, args...)))
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
	return named.Find(set, c.arg, c.path)
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

// edit changes the keys file. Where the argument names an agent, it is that one's ID from then on.
func (c *call) edit(change func(*keys.File) error) error {
	err := keys.Edit(c.Context.Context, c.path, func(f *keys.File) error {
		if c.named {
			k, err := named.Find(f.Set(), c.arg, c.path)
			if err != nil {
				return err
			}
			c.arg = k.ID
		}
		return change(f)
	})
	if err != nil {
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
