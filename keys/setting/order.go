package setting

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// FlagsFirst puts the flags of a command line before its arguments, since package cli takes none behind the first argument. args
// is the command line without the program's name, and a lone "--" in it ends the flags. A flag's old name becomes the new one;
// renamed has a warning for each.
func FlagsFirst(args []string, flags []cli.Flag, commands []*cli.Command) (line, renamed []string) {
	var path, behind []string // what is in order, and the arguments
	help := false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			behind = append(behind, args...)
			args = nil
		case len(arg) < 2 || arg[0] != '-':
			if c := commandNamed(commands, arg); c != nil && len(behind) == 0 {
				path = append(path, arg)
				flags, commands = c.Flags, c.Subcommands
				continue
			}
			behind = append(behind, arg)
		default:
			help = help || slices.Contains(cli.HelpFlag.Names(), strings.TrimLeft(arg, "-"))
			name, rest, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if now, ok := NewName(name, flags); ok {
				renamed = append(renamed, Renamed("--"+name, "--"+now))
				if arg = "--" + now; hasValue {
					arg += "=" + rest
				}
			}
			path = append(path, arg)
			if takesNext(arg, flags) {
				if len(args) == 0 || args[0] == "--" || isFlag(args[0], flags) {
					return path, renamed // what stands behind it would be taken for the value that it lacks
				}
				path = append(path, args[0])
				args = args[1:]
			}
		}
	}
	if len(behind) > 0 && !help { // cli would look for a topic of that name
		path = append(append(path, "--"), behind...)
	}
	return path, renamed
}

func commandNamed(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// isFlag says that a word is one of the flags, with two dashes.
func isFlag(word string, flags []cli.Flag) bool {
	name, ok := strings.CutPrefix(word, "--")
	name, _, _ = strings.Cut(name, "=")
	return ok && slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// takesNext says that a flag has its value in the next word.
func takesNext(arg string, flags []cli.Flag) bool {
	name, _, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			_, isBool := f.(*cli.BoolFlag)
			return !isBool && !hasValue
		}
	}
	return false // cli says that it is unknown
}
