package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

func manCommand() *cli.Command {
	return &cli.Command{
		Name: "man", Category: forPackages, Usage: "print the man page in roff", ArgsUsage: " ",
		Description: `Examples:
   ossecd man | man -l -
   ossecd man > /usr/local/share/man/man8/ossecd.8`,
		Action: func(c *cli.Context) error {
			var page strings.Builder
			writeMan(&page, c.App)
			_, err := io.WriteString(c.App.Writer, page.String())
			return err
		},
	}
}

// writeMan writes the man page: what the help of every command says (groff_man(7)).
func writeMan(w io.Writer, app *cli.App) {
	fmt.Fprintf(w, ".TH OSSECD 8 \"\" \"ossecd %s\"\n.SH NAME\nossecd \\- %s\n.SH SYNOPSIS\n", roff(app.Version), roff(app.Usage))
	fmt.Fprint(w, ".B ossecd\n.I COMMAND\n.RI [ FLAG ]...\n.RI [ ARGUMENT ]...\n.SH DESCRIPTION\n")
	fmt.Fprintf(w, "%s\n.SH COMMANDS\n", roff(app.Description))
	for _, c := range app.VisibleCommands() {
		writeManCommand(w, "ossecd", c)
	}
	fmt.Fprint(w, ".SH EXIT STATUS\n.TP\n0\nIt did what was asked.\n.TP\n1\nIt failed.\n.TP\n2\nThe command line or the configuration is wrong.\n")
}

func writeManCommand(w io.Writer, parent string, c *cli.Command) {
	path := parent + " " + c.Name
	fmt.Fprintf(w, ".SS %s\n%s.\n", roff(path+" "+strings.TrimSpace(c.ArgsUsage)), roff(strings.TrimSuffix(c.Usage, ".")))
	if c.Description != "" {
		fmt.Fprintf(w, ".PP\n.EX\n%s\n.EE\n", roff(strings.TrimSpace(c.Description)))
	}
	for _, f := range c.VisibleFlags() {
		names, text, _ := strings.Cut(cli.FlagStringer(f), "\t") // as in the help
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(names)), roff(text))
	}
	for _, sub := range c.VisibleCommands() {
		if sub.Name != "help" {
			writeManCommand(w, path, sub)
		}
	}
}

// roff makes text stand as it is: no escapes, no requests, and a minus for each hyphen, so that flags can be copied.
func roff(text string) string {
	var b strings.Builder
	begins := true
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case begins && (r == '.' || r == '\''):
			b.WriteString(`\&` + string(r))
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
		begins = r == '\n'
	}
	return b.String()
}
