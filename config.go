package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"ossecd/keys/marked"
	"ossecd/proto/printable"
)

// A configuration file is TOML. It has a section for each daemon, and in it a key for each flag:
//
//	[agent]
//	manager = ["192.0.2.10"]     # --manager 192.0.2.10
//	notify_time = "5m"           # --notify-time 5m
//
// Flags of a category have a table of that name, whose keys are without it:
//
//	[manager.enroll]
//	listen = ":1515"             # --enroll-listen :1515
//
// What one line cannot say has tables, any number of them, which are the value of a hidden flag; what is in them is for the daemon
// to check:
//
//	[[agent.source]]
//	type = "journald"
//
// So does a single one, [agent.active_response].
//
// One file can serve both daemons of a host. Whichever reads it checks all of it.

const (
	maxConfigSize = 1 << 20 // bytes
	maxFaults     = 50      // faults that are listed
)

// sections are the flags of each section's command.
type sections map[string][]cli.Flag

// fault is one thing wrong with a configuration file.
type fault struct {
	file string
	line int // from 1; 0 where the file as a whole is meant
	text string
}

func (f fault) Error() string {
	if f.line == 0 {
		return fmt.Sprintf("%s: %s", f.file, f.text)
	}
	return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.text)
}

// configure gives a daemon's command --config, and has the log set up before its action. With --check it goes on to
// the action despite faults of the file, so that all faults are reported at once.
func configure(c *cli.Command, known sections, stderr io.Writer) {
	usage := "TOML `FILE` with a key for each flag (notify_time for --notify-time) in [" + c.Name + "]"
	for _, f := range c.Flags {
		if table, key, ok := strings.Cut(flagKey(f), "."); ok {
			usage += fmt.Sprintf(" or [%s.%s] (%s for --%s)", c.Name, table, key, f.Names()[0])
			break
		}
	}
	c.Flags = append([]cli.Flag{&cli.StringFlag{Name: "config", Usage: usage + "; flags win"}}, c.Flags...)
	action := c.Action
	c.Action = func(ctx *cli.Context) error {
		from, err := setFromFile(ctx, known)
		log, logErr := newLog(stderr, ctx.String("log-format"), ctx.String("log-level"))
		err = errors.Join(err, logErr)
		if err != nil && !ctx.Bool("check") {
			return cli.Exit(from.place(err.Error()), exitUsage)
		}
		if log != nil {
			slog.SetDefault(log)
			if q, ok := stderr.(*logQueue); ok {
				q.setFormat(ctx.String("log-format"))
			}
		}
		for _, w := range append(takeRenamed(ctx.App), from.renamed...) {
			if ctx.Bool("check") {
				fmt.Fprintf(ctx.App.ErrWriter, "warning: %s\n", printable.Text(w))
			} else {
				slog.Warn("the configuration has an old name", "where", w)
			}
		}
		if err != nil {
			ctx.App.Writer = io.Discard // nothing is in order
			return cli.Exit(from.place(errors.Join(err, action(ctx)).Error()), exitUsage)
		}
		if err = action(ctx); err != nil && exitCode(err) == exitUsage {
			return cli.Exit(from.place(err.Error()), exitUsage)
		}
		return err
	}
}

// configureClient gives a command that asks a running daemon its --config, of which it takes the flags that both have: where the state
// directory and the control socket are.
func configureClient(daemon string, c *cli.Command, known sections) {
	c.Flags = append([]cli.Flag{&cli.StringFlag{Name: "config", Usage: "TOML `FILE` of the " + daemon + ", which says where its state is; flags win"}}, c.Flags...)
	action := c.Action
	c.Action = func(ctx *cli.Context) error {
		if path := ctx.String("config"); path != "" {
			text, err := readConfig(path)
			if err != nil {
				return cli.Exit(err.Error(), exitUsage)
			}
			settings, _, err := parseConfig(path, text, known) // the daemon warns of old names
			if err != nil {
				return cli.Exit(err.Error(), exitUsage)
			}
			for _, f := range c.Flags {
				flag := f.Names()[0]
				values := settings[daemon][flag].texts
				if _, more := f.(*cli.StringSliceFlag); len(values) == 0 || ctx.IsSet(flag) && !more {
					continue
				}
				if err := ctx.Set(flag, values[len(values)-1]); err != nil {
					return cli.Exit(fmt.Sprintf("%s: %s: %v", path, flagKey(f), err), exitUsage)
				}
			}
		}
		return action(ctx)
	}
}

// origin tells where in a configuration file the flags stand that it has set.
type origin struct {
	file    string
	lines   map[string]int // by key
	renamed []string       // warnings about keys whose old name stands there
}

// place puts file and line before those faults, one a line, that begin with the key or the flag of a setting from the
// file: "crypto: ...".
func (o origin) place(faults string) string {
	lines := strings.Split(faults, "\n")
	for i, text := range lines {
		name, _, _ := strings.Cut(text, ":")
		if line, ok := o.lines[keyOf(name)]; ok && !strings.HasPrefix(text, o.file+":") {
			lines[i] = fault{o.file, line, text}.Error()
		}
	}
	return strings.Join(lines, "\n")
}

// setFromFile sets the flags which the file of --config has and the command line has not.
func setFromFile(ctx *cli.Context, known sections) (from origin, err error) {
	path := ctx.String("config")
	if path == "" {
		if ctx.IsSet("config") {
			return from, errors.New("--config needs the name of a file")
		}
		return from, nil
	}
	text, err := readConfig(path)
	if err != nil {
		return from, err
	}
	settings, renamed, err := parseConfig(path, text, known)
	from = origin{file: path, lines: make(map[string]int)}
	for _, f := range renamed[ctx.Command.Name] {
		from.renamed = append(from.renamed, f.Error())
	}
	for _, f := range known[ctx.Command.Name] {
		flag := f.Names()[0]
		v, set := settings[ctx.Command.Name][flag]
		if !set || ctx.IsSet(flag) {
			continue
		}
		from.lines[flagKey(f)] = v.line
		if t := tablesOf(f); t != nil {
			t.List = v.tables
		}
		for _, v := range v.texts {
			if e := ctx.Set(flag, v); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %s: %w", path, flagKey(f), e))
			}
		}
	}
	return from, err
}

func readConfig(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("configuration: %w; name a TOML file that this user may read", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxConfigSize {
		return "", fault{path, 0, fmt.Sprintf("is over %d bytes; is it the right file?", maxConfigSize)}
	}
	return string(marked.Text(text)), nil
}
