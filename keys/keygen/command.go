// Package keygen is "ossecd keygen": it makes, shows, hands on and ends the agents' keys in a keys file, and has a
// manager forget how far it counted an agent.
package keygen

import (
	"github.com/urfave/cli/v2"
)

const (
	defaultKeys  = "/etc/ossecd/client.keys"
	defaultState = "/var/lib/ossecd/manager"
	exitUsage    = 2
)

// Command is "ossecd keygen".
func Command() *cli.Command {
	keysFlag := &cli.StringFlag{Name: "keys", Value: defaultKeys, Usage: "the manager's keys `FILE`"}
	jsonFlag := &cli.BoolFlag{Name: "json", Usage: "print JSON instead of text"}
	// sub is a subcommand with as many arguments as argsUsage has words.
	sub := func(name, argsUsage, usage, description string, run func(*call) error, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, ArgsUsage: argsUsage, Usage: usage, Description: description,
			Flags:  append(flags, keysFlag, jsonFlag),
			Action: func(c *cli.Context) error { return start(c, "keys", argsUsage, run) },
		}
	}
	return &cli.Command{
		Name:        "keygen",
		Usage:       "make, list, show, hand on and remove the agents' keys",
		Description: description,
		Subcommands: []*cli.Command{
			sub("add", "NAME", "make a key for a new agent and print its line", addDescription, add,
				&cli.StringFlag{Name: "ip", Value: "any", Usage: "`ADDRESS` the agent sends from: any, an address, or a network; with ! in front all others"},
				&cli.StringFlag{Name: "id", Usage: "`ID` of the agent, 1 to 8 digits (default: the next after all that were ever used)"}),
			sub("list", "", "list all agents, without their keys", listDescription, list),
			sub("show", "ID", "print an agent's line with its key", showDescription, show),
			sub("remove", "ID", "end an agent for good", removeDescription, remove),
			sub("export", "ID", "print an agent's line as base64, to hand it to the agent", exportDescription, export),
			sub("import", "TEXT", "add a line that export printed (- reads it from standard input)", importDescription, importKey),
			sub("reset-counter", "ID", "have the manager forget how far it counted an agent", resetDescription, resetCounter,
				&cli.StringFlag{Name: "state", Value: defaultState, Usage: "the manager's state `DIR`ectory"}),
			tokenCommand(),
		},
	}
}

const description = `The keys file has one line for each agent: ID NAME IP KEY. The manager has the lines of all its agents, an agent
has its own. A running manager takes up changes within 2 s.

Examples:
   ossecd keygen add web01
   ossecd keygen export 001
   ossecd keygen import --keys /etc/ossecd/agent.keys -`

const addDescription = `Prints the new line, key included. The agent needs that line, or what export makes of it. A new file is made
readable for its owner only; an existing one keeps owner, group and mode.

Examples:
   ossecd keygen add web01
   ossecd keygen add db01 --ip 192.0.2.15
   ossecd keygen add branch --ip 10.8.0.0/16 --id 100 --keys client.keys`

const listDescription = `What is wrong with the file stands on standard error, with line numbers.

Examples:
   ossecd keygen list
   ossecd keygen list --keys client.keys --json`

const showDescription = `Whoever has the line can speak as the agent: keep the output to yourself.

Example:
   ossecd keygen show 001`

const removeDescription = `Wipes the agent's name, address and key from the file. Its ID stays there, marked as removed, and is never
given out again.

Example:
   ossecd keygen remove 001`

const exportDescription = `Base64 is no protection: whoever has the text can speak as the agent. Take it to the agent by a way that you
trust.

Example:
   ossecd keygen export 001 | ssh web01 ossecd keygen import - --keys /etc/ossecd/agent.keys`

const importDescription = `Blanks and line ends in the text do not matter. Other users of the machine can see arguments while the program
runs; what comes through standard input they cannot.

Examples:
   ossecd keygen import - --keys /etc/ossecd/agent.keys < key.txt
   ossecd keygen import MDAxIHdlYjAxIGFueSBzZWNyZXQ= --keys client.keys`

const resetDescription = `For an agent that lost its counter, as after a restore from a backup, and is refused as repeating itself. Works
beside a running manager and without one.

What was captured of the agent's traffic before passes once more after this. Where that matters remove the agent and add it
anew instead.

Example:
   ossecd keygen reset-counter 001 --state /var/lib/ossecd/manager`
