package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func exampleConfigCommand() *cli.Command {
	return &cli.Command{
		Name: "example-config", Category: forPackages, Usage: "print a configuration file with every key, as comments", ArgsUsage: " ",
		Description: `Example:
   ossecd example-config > /etc/ossecd/ossecd.toml`,
		Action: func(c *cli.Context) error {
			_, err := io.WriteString(c.App.Writer, exampleConfig(c.App))
			return err
		},
	}
}

// The tables that no flag stands for, as the example shows them.
var exampleTables = map[string]string{
	"agent": `
# What no flag can say stands in tables. Each [[agent.source]] is one more source (docs/sources.md).
#[[agent.source]]
#type = "journald"
#units = ["ssh.service"]

#[[agent.source]]
#type = "file"
#file = ["/var/log/app/*.log"]
#multiline_start = '^\d{4}-'

# Programs that the manager may have run (docs/sources.md).
#[agent.active_response]
#enabled = true
#allow = ["firewall-drop.sh"]
`,
	"manager": `
# Where events go. Each [[manager.sink]] is one place (docs/sinks.md).
[[manager.sink]]
type = "file"
path = "/var/log/ossecd/events.json"
daily = true
max_age = "720h"
compress = true

#[[manager.sink]]
#type = "nats"
#servers = ["nats://192.0.2.20:4222"]
#stream = "ossec"

# Groups of agents, with shared files or labels of their own (docs/manager.md).
#[[manager.group]]
#name = "web"
#agents = ["web*"]
#labels = { site = "fra1" }

# Syslog from hosts without an agent (docs/manager.md).
#[[manager.syslog]]
#listen = "192.0.2.10:514"
#allow = ["192.0.2.0/24"]
`,
}

// exampleConfig has every key of both daemons with its default, as comments, and one sink, which rotates its file.
func exampleConfig(app *cli.App) string {
	var b strings.Builder
	b.WriteString(`# The configuration of ossecd, for the agent, the manager, or both on one host. Each key below is a comment with its default,
# or with an example if it has none. Remove the # in front of a key, and in front of the head of its table, to set it.
# Check the file with: ossecd agent --config FILE --check, and the same with manager.
`)
	for _, c := range app.Commands {
		tables, ok := exampleTables[c.Name]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "\n[%s]\n", c.Name)
		inTable := make(map[string][]cli.Flag)
		for _, f := range c.VisibleFlags() {
			table, _, nested := strings.Cut(flagKey(f), ".")
			switch {
			case slices.Contains([]string{"config", "check", "demo", "help"}, f.Names()[0]) || c.Name == "manager" && f.Names()[0] == "file":
			case nested:
				inTable[table] = append(inTable[table], f)
			case f.Names()[0] == "events": // the sink below stands in its place
			default:
				writeExample(&b, f)
			}
		}
		for table, flags := range inTable {
			fmt.Fprintf(&b, "\n[%s.%s]\n", c.Name, table)
			for _, f := range flags {
				writeExample(&b, f)
			}
		}
		b.WriteString(tables)
	}
	return b.String()
}

// examples are values for keys that have no default.
var examples = map[string]string{
	"manager": `["192.0.2.10"]`, "local_addr": `"192.0.2.7"`, "file": `["/var/log/*.log"]`, "ossec_home": `"/var/ossec"`, "remind_after": `"24h"`,
	"control_socket": `"/run/ossecd/control.sock"`, "client_ca": `"/etc/ossecd/agents-ca.pem"`, "shared": `"/etc/ossecd/shared"`, "burst": "1000",
}

func writeExample(b *strings.Builder, f cli.Flag) {
	key := flagKey(f)
	key = key[strings.LastIndex(key, ".")+1:]
	doc := f.(cli.DocGenerationFlag)
	text := strings.NewReplacer("`", "").Replace(doc.GetUsage())
	value := examples[key]
	if value == "" {
		switch f := f.(type) {
		case *cli.BoolFlag:
			value = fmt.Sprint(f.Value)
		case *cli.IntFlag:
			value = fmt.Sprint(f.Value)
		case *cli.DurationFlag:
			value = fmt.Sprintf("%q", f.Value)
		case *cli.GenericFlag:
			value = fmt.Sprintf("%q", f.Value)
		case *cli.StringSliceFlag:
			var list []string
			if f.Value != nil {
				list = f.Value.Value()
			}
			value = "[" + strings.Join(quoted(list), ", ") + "]"
		case *cli.StringFlag:
			value = fmt.Sprintf("%q", f.Value)
		}
	}
	fmt.Fprintf(b, "\n# %s\n#%s = %s\n", text, key, value)
}

func quoted(list []string) (q []string) {
	for _, s := range list {
		q = append(q, fmt.Sprintf("%q", s))
	}
	return q
}
