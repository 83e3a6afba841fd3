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
			sub("add", "NAME", "make a key for a new agent and print its line (- makes many, from CSV at standard input)", addDescription, add,
				&cli.StringFlag{Name: "groups", Usage: "`NAMES` of groups that the agent is in, with commas between them"},
				&cli.StringFlag{Name: "ip", Value: "any", Usage: "`ADDRESS` the agent sends from: any, an address, or a network; with ! in front all others"},
				&cli.StringFlag{Name: "id", Usage: "`ID` of the agent, 1 to 8 digits (default: the next after all that were ever used)"}),
			sub("list", "", "list all agents, without their keys", listDescription, list,
				&cli.BoolFlag{Name: "long", Usage: "show the age of keys, groups, and since when a next key is ordered, too"},
				&cli.StringFlag{Name: "group", Usage: "only agents of the group `NAME`"},
				&cli.BoolFlag{Name: "rotating", Usage: "only agents that have not used their next key yet"}),
			sub("show", "ID", "print an agent's line with its key", showDescription, show),
			sub("remove", "ID", "end an agent for good", removeDescription, remove),
			sub("export", "[ID]", "print an agent's line as base64, to hand it to the agent", exportDescription, export,
				&cli.BoolFlag{Name: "all", Usage: "print a line for each agent: ID NAME BASE64"},
				&cli.BoolFlag{Name: "next", Usage: "the next key, of agents that have one (rotate)"}),
			sub("import", "[TEXT]", "add a line that export printed (- reads it from standard input), or a whole file", importDescription, importKey,
				&cli.StringFlag{Name: "file", Usage: "add all lines of the keys `FILE`, a stock one for example; - is standard input"}),
			sub("rename", "ID NAME", "give an agent another name", renameDescription, rename),
			sub("set-ip", "ID ADDRESS", "change from where an agent may send", setIPDescription, setIP),
			sub("group", "ID [GROUPS]", "put an agent into groups, with commas between them, or take it out of all", groupDescription, group),
			sub("rotate", "[ID]", "order a new key for agents, which ours take up by themselves", rotateDescription, rotate,
				&cli.BoolFlag{Name: "all", Usage: "for all agents"},
				&cli.DurationFlag{Name: "older-than", Usage: "for all whose key is older than `AGE`, as in 2160h, or of unknown age"}),
			sub("verify", "", "say what is wrong with the keys file, and how to mend it", verifyDescription, verify),
			sub("reset-counter", "ID", "have the manager forget how far it counted an agent", resetDescription, resetCounter,
				&cli.StringFlag{Name: "state", Value: defaultState, Usage: "the manager's state `DIR`ectory"}),
			tokenCommand(),
		},
	}
}

const description = `The keys file has one line for each agent: ID NAME IP KEY. The manager has the lines of all its agents, an agent
has its own. A running manager takes up changes within 2 s. Where a command takes an ID, it takes the agent's name as well, and the ID
without the zeros in front.

Examples:
   ossecd keygen add web01
   ossecd keygen export 001
   ossecd keygen import --keys /etc/ossecd/agent.keys -`

const addDescription = `Prints the new line, key included. The agent needs that line, or what export makes of it. A new file is made
readable for its owner only; an existing one keeps owner, group and mode.

Examples:
   ossecd keygen add web01
   ossecd keygen add db01 --ip 192.0.2.15
   ossecd keygen add branch --ip 10.8.0.0/16 --id 100 --keys client.keys
   ossecd keygen add - --json < hosts.csv

Many at once: lines NAME[,IP[,ID[,GROUPS]]] at standard input, as CSV. A first line with these words in any order says which column is
which; groups have ";" between them. All are written in one step; then each has a line of output, its key or what is wrong with it. The
exit code is 1 if anything was.`

const listDescription = `With --json each has "made" (when its key was), "groups", and "rotating" (since when a next key is ordered), as far as there
are any. What is wrong with the file stands on standard error, with line numbers.

Examples:
   ossecd keygen list
   ossecd keygen list --keys client.keys --json
   ossecd keygen list --long --group web`

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
   ossecd keygen export 001 | ssh web01 ossecd keygen import - --keys /etc/ossecd/agent.keys
   ossecd keygen export --all --keys client.keys
   ossecd keygen export 001 --next                 the key that was ordered by rotate, for an agent that is not an ossecd`

const importDescription = `Blanks and line ends in the text do not matter. Other users of the machine can see arguments while the program
runs; what comes through standard input they cannot.

Examples:
   ossecd keygen import - --keys /etc/ossecd/agent.keys < key.txt
   ossecd keygen import --file /var/ossec/etc/client.keys

A whole file is taken in one step, IDs of removed agents included. Each agent has a line of output; those that are there already, just
so, are left as they are. The exit code is 1 if one could not be taken.`

const resetDescription = `For an agent that lost its counter, as after a restore from a backup, and is refused as repeating itself. Works
beside a running manager and without one.

What was captured of the agent's traffic before passes once more after this. Where that matters remove the agent and add it
anew instead.

Example:
   ossecd keygen reset-counter 001 --state /var/lib/ossecd/manager`

const renameDescription = `The agent needs its new line (export): the name is part of what Blowfish is keyed with.

Example:
   ossecd keygen rename 001 web01`

const setIPDescription = `An agent with a single address does not send its ID, and is known by the address alone; with any other it does: so it
needs its new line (export) where that changes.

Examples:
   ossecd keygen set-ip 001 any
   ossecd keygen set-ip 001 10.8.0.0/16`

const groupDescription = `Groups are kept beside the keys file, in client.keys.notes: client.keys has no place for them, and stock tools go on
reading it.

Examples:
   ossecd keygen group 001 web,frontend
   ossecd keygen group 001                         takes it out of all`

const rotateDescription = `An agent that is an ossecd, has one manager and may write its keys file gets the new key through the channel, after its next
keepalive. For others export the key (--next) and import it there. Until the agent has used its new key both are good; then the old one
ends. Ordered again it stays the same. "list --rotating" shows who has not used it yet.

The new key travels under the old one: who has the old one and hears the channel has the new one too. Where a key got into wrong hands
remove the agent and enrol it anew.

Examples:
   ossecd keygen rotate 001
   ossecd keygen rotate --older-than 2160h
   ossecd keygen list --rotating`

const verifyDescription = `Reads the file as a running manager does, and looks for more: names used twice, keys used twice or too short, a mode that lets
others read. Changes nothing. The exit code is 1 if anything is wrong.

Example:
   ossecd keygen verify --keys client.keys`
