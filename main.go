// Command ossecd collects logs from many hosts. It is the agent and the manager of OSSEC's agent–manager protocol, and the tools for both.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/agent"
	"ossecd/agent/sendtest"
	"ossecd/keys/keygen"
	"ossecd/keys/setting"
	"ossecd/manager"
	"ossecd/proto/printable"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// endWithin is what every command may take to end in order.
const endWithin = 2 * time.Second

func main() {
	if code, is := asService(); is {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, but not one that comes with the first: timeout(1) signals a process
	// and its group. Whatever ends in order has done so by then.
	context.AfterFunc(ctx, func() { time.AfterFunc(endWithin, stop) })
	stderr := newLogQueue(os.Stderr)
	code := run(ctx, os.Args, os.Stdout, stderr)
	stderr.close()
	os.Exit(code)
}

// run is the program: it does what args say and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	line, renamed := ordered(args, app)
	app.Metadata = map[string]any{renamedFlags: renamed}
	err := app.RunContext(ctx, append(args[:1:1], line...))
	for _, w := range takeRenamed(app) { // no daemon has logged them
		fmt.Fprintf(stderr, "ossecd: warning: %s\n", printable.Text(w))
	}
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(stderr, "ossecd: %s\n", printable.Text(text))
	}
	return exitCode(err)
}

// Help shows no old names of flags.
func init() {
	describe := cli.FlagStringer
	cli.FlagStringer = func(f cli.Flag) string {
		if doc, ok := f.(cli.DocGenerationFlag); ok && len(setting.OldNames(f)) > 0 {
			f = todaysFlag{doc}
		}
		return describe(f)
	}
}

// todaysFlag is a flag without its aliases.
type todaysFlag struct{ cli.DocGenerationFlag }

func (f todaysFlag) Names() []string { return f.DocGenerationFlag.Names()[:1] }

// renamedFlags is the key, in the metadata of the app, of the warnings about flags whose old name was used.
const renamedFlags = "renamed flags"

// takeRenamed are these warnings, for whoever tells of them.
func takeRenamed(app *cli.App) []string {
	list, _ := app.Metadata[renamedFlags].([]string)
	delete(app.Metadata, renamedFlags)
	return list
}

func newApp(stdout, stderr io.Writer) *cli.App {
	daemons := []*cli.Command{agent.Command(), manager.Command(demo)}
	known := make(sections)
	for _, c := range daemons {
		c.Flags = append(c.Flags, logFlags()...)
		known[c.Name] = c.Flags
	}
	for _, c := range daemons {
		configure(c, known, stderr)
		for _, sub := range c.Subcommands {
			configureClient(c.Name, sub, known)
		}
	}
	app := &cli.App{
		Name:  "ossecd",
		Usage: "collect logs from many hosts, with OSSEC's agent-manager protocol",
		Description: `An agent follows log files and sends their lines, encrypted, to a manager, which writes them as JSON lines.
Either end also works with the stock programs of OSSEC and Wazuh.

Examples:
   ossecd manager --demo           see it work, on this machine only
   ossecd help agent               the same as ossecd agent --help`,
		Version:                   version(), // the agent says it in its keepalives
		HideVersion:               true,      // cli's own flag prints no more than that
		Flags:                     []cli.Flag{&cli.BoolFlag{Name: "version", Usage: "print the version, and what it was built from and with"}},
		Commands:                  append(daemons, keygen.Command(), sendtest.Command(), completionCommand(), manCommand(), exampleConfigCommand()),
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true,                        // file names may hold commas
		Writer:                    printable.NewWriter(stdout), // names and texts of others are shown
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {}, // run does it
		Action:                    noCommand,
		OnUsageError:              wrongFlag,
	}
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare has wrong usage of a command and all below it answered with one line.
func prepare(c *cli.Command) {
	c.HideHelpCommand = len(c.Subcommands) == 0 // "help" would be taken for a command where an argument stands
	if c.OnUsageError == nil {
		c.OnUsageError = wrongFlag
	}
	if len(c.Subcommands) > 0 && c.Action == nil {
		c.Action = noCommand
	}
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
}

// noCommand answers --version, and a missing or unknown subcommand.
func noCommand(c *cli.Context) error {
	if c.Bool("version") {
		fmt.Fprintf(c.App.Writer, "ossecd %s %s\n", c.App.Version, build())
		return nil
	}
	path := commandPath(c)
	commands := c.Command.Subcommands
	var names []string
	for _, sub := range commands {
		if sub.Name != "help" && sub.Category == "" {
			names = append(names, sub.Name)
		}
	}
	if !c.Args().Present() {
		return cli.Exit(fmt.Sprintf("say what to do: %s %s; %s --help explains", path, strings.Join(names, "|"), path), exitUsage)
	}
	name := c.Args().First()
	instead := setting.Instead(name, names, path+" ", "")
	if !strings.HasSuffix(instead, "?") {
		instead += ";"
	}
	return cli.Exit(fmt.Sprintf("there is no %q; %s %s --help lists all", name, instead, path), exitUsage)
}

// wrongFlag answers what the flag parser does not understand.
func wrongFlag(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		name = strings.TrimLeft(name, "-")
		if sub := commandWith(c.Command.Subcommands, name); sub != nil {
			return cli.Exit(fmt.Sprintf("put --%s after the subcommand, as in: %s --%s …", name, sub.HelpName, name), exitUsage)
		}
		text = "unknown flag --" + name
		if best, ok := setting.Close(name, flagNames(c.Command.Flags)); ok {
			text += "; did you mean --" + best + "?"
		}
	} else {
		text = strings.NewReplacer("flag -", "flag --", "argument: -", "argument: --").Replace(text)
	}
	return cli.Exit(fmt.Sprintf("%s (%s --help lists all flags)", text, commandPath(c)), exitUsage)
}

// commandWith is the first of the commands that has a flag of this name.
func commandWith(commands []*cli.Command, flag string) *cli.Command {
	for _, sub := range commands {
		if slices.Contains(flagNames(sub.Flags), flag) {
			return sub
		}
	}
	return nil
}

// commandPath is how the command of c is called, as in "ossecd keygen".
func commandPath(c *cli.Context) string {
	if c.Command.HelpName != "" {
		return c.Command.HelpName
	}
	return c.App.Name
}

// exitCode is 2 for wrong usage, which commands tell with cli.Exit (and cli's own help with a 3), and else 1.
func exitCode(err error) int {
	var coded cli.ExitCoder
	if errors.As(err, &coded) && coded.ExitCode() >= exitUsage {
		return exitUsage
	}
	return exitFailed
}
