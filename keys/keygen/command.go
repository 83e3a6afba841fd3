// Package keygen is the command "ossecd keygen". It makes, shows, exports, changes and removes the keys in a keys file, and makes a
// manager forget an agent's message count.
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
	keysFlag := &cli.StringFlag{Name: "keys", Value: defaultKeys, Usage: "keys `FILE` of the manager"}
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
		Usage:       "make, list, export, change and remove the keys of agents",
		Description: description,
		Subcommands: []*cli.Command{
			sub("add", "NAME", "make a key for a new agent and print its line; - makes many, from CSV on standard input", addDescription, add,
				&cli.StringFlag{Name: "groups", Usage: "`NAMES` of the agent's groups, separated by commas"},
				&cli.StringFlag{Name: "ip", Value: "any", Usage: "`ADDRESS` that the agent may send from: any, an address, or a network; a ! in front means all others"},
				&cli.StringFlag{Name: "id", Usage: "`ID` of the agent, 1 to 8 digits (default: the next that was never used)"}),
			sub("list", "", "list all agents, without their keys", listDescription, list,
				&cli.BoolFlag{Name: "long", Usage: "also show when keys were made, groups, and pending new keys"},
				&cli.StringFlag{Name: "group", Usage: "only agents of the group `NAME`"},
				&cli.BoolFlag{Name: "rotating", Usage: "only agents that have not used their new key yet"}),
			sub("show", "ID", "print an agent's line with its key", showDescription, show),
			sub("remove", "ID", "remove an agent for good", removeDescription, remove),
			sub("export", "[ID]", "print an agent's line as base64, to take it to the agent", exportDescription, export,
				&cli.BoolFlag{Name: "all", Usage: "print a line for each agent: ID NAME BASE64"},
				&cli.BoolFlag{Name: "next", Usage: "print the new key of an agent whose rotation is pending"}),
			sub("import", "[TEXT]", "add a line that export printed; - reads it from standard input", importDescription, importKey,
				&cli.StringFlag{Name: "file", Usage: "add all lines of this keys `FILE`, for example a stock one; - is standard input"}),
			sub("rename", "ID NAME", "give an agent another name", renameDescription, rename),
			sub("set-ip", "ID ADDRESS", "change the address that an agent may send from", setIPDescription, setIP),
			sub("group", "ID [GROUPS]", "put an agent into groups, separated by commas, or take it out of all", groupDescription, group),
			sub("rotate", "[ID]", "give agents a new key; ossecd's agents take it by themselves", rotateDescription, rotate,
				&cli.BoolFlag{Name: "all", Usage: "give all agents a new key"},
				&cli.DurationFlag{Name: "older-than", Usage: "give all agents a new key whose key is older than `AGE`, as in 2160h, or of unknown age"}),
			sub("verify", "", "report what is wrong with the keys file, and how to correct it", verifyDescription, verify),
			sub("reset-counter", "ID", "make the manager forget an agent's message count", resetDescription, resetCounter,
				&cli.StringFlag{Name: "state", Value: defaultState, Usage: "state `DIR` of the manager"}),
			tokenCommand(),
		},
	}
}

const description = `The keys file has one line for each agent: ID NAME IP KEY. The manager has the lines of all its agents, an agent
has only its own. A running manager takes up changes within 2 s. Instead of an ID you can always give the agent's name, or the ID
without leading zeros.

Examples:
   ossecd keygen add web01
   ossecd keygen export 001
   ossecd keygen import --keys /etc/ossecd/agent.keys -`

const addDescription = `Prints the new line, including the key. The agent needs this line, or what export makes of it. A new file is readable for
its owner only; an existing file keeps its owner, group and mode.

Examples:
   ossecd keygen add web01
   ossecd keygen add db01 --ip 192.0.2.15
   ossecd keygen add branch --ip 10.8.0.0/16 --id 100 --keys client.keys
   ossecd keygen add - --json < hosts.csv

With - it reads many agents from standard input, as CSV: NAME[,IP[,ID[,GROUPS]]]. A first line with these words in any order says
which column is which. Groups are separated by ";". All agents are added in one step. Each has a line of output: its key, or what is
wrong with it. The exit code is 1 if anything was wrong.`

const listDescription = `With --json each agent also has "made" (when its key was made), "groups", and "rotating" (since when a new key is pending), if
known. Faults of the file are printed to standard error, with line numbers.

Examples:
   ossecd keygen list
   ossecd keygen list --keys client.keys --json
   ossecd keygen list --long --group web`

const showDescription = `Keep the output secret: whoever has this line can speak as the agent.

Example:
   ossecd keygen show 001`

const removeDescription = `Wipes the agent's name, address and key from the file. Its ID stays there, marked as removed, and is never given out again. A
running manager refuses the agent within 2 s.

Example:
   ossecd keygen remove 001`

const exportDescription = `Keep the output secret: base64 does not protect it, and whoever has it can speak as the agent. Take it to the agent in a way that
you trust.

Examples:
   ossecd keygen export 001 | ssh web01 ossecd keygen import - --keys /etc/ossecd/agent.keys
   ossecd keygen export --all --keys client.keys
   ossecd keygen export 001 --next                 the new key of a pending rotation, for an agent that is not ossecd`

const importDescription = `Blanks and line ends in the text do not matter. Prefer standard input: other users of the machine can see arguments while the
program runs.

Examples:
   ossecd keygen import - --keys /etc/ossecd/agent.keys < key.txt
   ossecd keygen import --file /var/ossec/etc/client.keys

With --file a whole keys file is added in one step, including the IDs of removed agents. Each agent has a line of output. Agents that
exist with the same line are left as they are. The exit code is 1 if one could not be added.`

const resetDescription = `Use this for an agent that lost its message count, for example after a restore from a backup, and is refused with "old count". It
works with and without a running manager.

After this, messages of the agent that somebody recorded earlier are accepted once more. If that matters, remove the agent and add it
anew instead.

Example:
   ossecd keygen reset-counter 001 --state /var/lib/ossecd/manager`

const renameDescription = `The agent needs its new line (export), since the Blowfish key is made from the name.

Example:
   ossecd keygen rename 001 web01`

const setIPDescription = `An agent with a single address does not send its ID, and the manager knows it by the address. With any other value it sends its ID.
If you change from one to the other, the agent needs its new line (export).

Examples:
   ossecd keygen set-ip 001 any
   ossecd keygen set-ip 001 10.8.0.0/16`

const groupDescription = `Groups are kept in client.keys.notes, beside the keys file: client.keys has no place for them, and stock tools read it, too.

Examples:
   ossecd keygen group 001 web,frontend
   ossecd keygen group 001                         takes it out of all groups`

const rotateDescription = `The manager sends the new key to the agent through the channel, after the agent's next keepalive. This works if the agent is ossecd,
has one manager, and may write its keys file. For other agents print the key with "export --next" and import it there.

Both keys are good until the agent uses the new one; then the old one ends. If you rotate again before that, the new key stays the same.
"list --rotating" shows the agents that have not used their new key yet.

The new key travels under the old one: whoever has the old key and reads the traffic learns the new one. If a key was stolen, remove the agent
and add it anew.

Examples:
   ossecd keygen rotate 001
   ossecd keygen rotate --older-than 2160h
   ossecd keygen list --rotating`

const verifyDescription = `Reads the file as a running manager does, and also looks for names and keys that are used twice, keys that are too short, and a mode
that lets others read the file. Changes nothing. The exit code is 1 if anything is wrong.

Example:
   ossecd keygen verify --keys client.keys`
