package control

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

const (
	watchEvery = 2 * time.Second

	// maxLine bounds a line of the manager's answer, in bytes.
	maxLine = 64 << 10
)

// agentsCommand is "ossecd manager agents".
func agentsCommand(state string) *cli.Command {
	return &cli.Command{
		Name:      "agents",
		Usage:     "list the agents: who is there, who is not, and since when",
		ArgsUsage: "[PATTERN]",
		Description: `PATTERN is for IDs and names, as in 'web*'. Filters and the order are applied by the manager, so any number of agents can be listed.
--json prints one object a line.

An agent is connected, disconnected, or never: not heard yet. EVENTS are those taken since the manager started. MISSING are messages
that the agent sent and that did not arrive, by the gaps in their counts; ossecd sends such events again.

Examples:
   ossecd manager agents
   ossecd manager agents --state disconnected --sort last_seen
   ossecd manager agents 'web*' --group fra1 --json
   ossecd manager agents --sort -missing --watch`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "state", Usage: "show agents of a `STATE`: connected, disconnected or never; can be repeated. Any other value is the state directory of the running manager",
				DefaultText: "all agents, of the manager in " + state},
			&cli.StringFlag{Name: "control-socket", Usage: "`PATH` of the manager's control socket", DefaultText: "STATE/control.sock"},
			&cli.StringFlag{Name: "group", Usage: "show agents of a `GROUP`, which can be a pattern"},
			&cli.StringFlag{Name: "sort", Value: "id", Usage: "sort by a `COLUMN`: " + sortNames() + "; with - in front the other way round"},
			&cli.BoolFlag{Name: "watch", Usage: "show the list again every 2s, until Ctrl-C"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a line"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return cli.Exit(fmt.Sprintf("unexpected argument %q; give one PATTERN, in quotes if the shell would expand it", c.Args().Get(1)), 2)
			}
			q := &Query{Group: c.String("group"), Match: c.Args().First(), Sort: c.String("sort")}
			dir := ""
			for _, s := range c.StringSlice("state") {
				if slices.Contains(states, s) {
					q.States = append(q.States, s)
				} else {
					dir = cmp.Or(dir, s) // that of the command line before that of a file
				}
			}
			if dir != "" && c.String("control-socket") == "" {
				if _, err := os.Stat(dir); err != nil {
					return cli.Exit(fmt.Sprintf("state: %q is neither connected, disconnected or never, nor a state directory", dir), 2)
				}
			}
			if err := q.Validate(); err != nil {
				return cli.Exit(err.Error(), 2)
			}
			m := newClient(c.String("control-socket"), cmp.Or(dir, state))
			if c.Bool("watch") {
				return watchAgents(c, m, q)
			}
			return listAgents(c, m, q)
		},
	}
}

// agentRows asks for agents, and calls each with each of them and the line that it came as.
func agentRows(ctx context.Context, m *client, q *Query, each func(a *Agent, line []byte) error) (matched, known int, err error) {
	answer, err := m.open(ctx, http.MethodGet, "/v1/agents?"+q.values().Encode(), nil)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	matched, _ = strconv.Atoi(answer.Header.Get(matchedHeader))
	known, _ = strconv.Atoi(answer.Header.Get(knownHeader))
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var a Agent
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return matched, known, fmt.Errorf("the manager's answer: %w; use the same version of ossecd as the manager's", err)
		}
		if err := each(&a, lines.Bytes()); err != nil {
			return matched, known, err
		}
	}
	return matched, known, lines.Err()
}

// listAgents prints the agents once.
func listAgents(c *cli.Context, m *client, q *Query) error {
	defer m.http.CloseIdleConnections()
	if c.Bool("json") {
		w := bufio.NewWriterSize(c.App.Writer, 32<<10)
		_, _, err := agentRows(c.Context, m, q, func(_ *Agent, line []byte) error {
			w.Write(line)
			return w.WriteByte('\n')
		})
		return errors.Join(err, w.Flush())
	}
	tty := terminal(c.App.Writer)
	w := io.Writer(c.App.Writer)
	if tty != nil {
		w = tty
	}
	out := bufio.NewWriterSize(w, 32<<10)
	matched, known, err := writeAgents(c.Context, m, q, out, colored(tty, os.Getenv))
	if err == nil && matched == 0 {
		fmt.Fprintln(c.App.ErrWriter, noneFound(q, known))
	}
	return errors.Join(err, out.Flush())
}

func noneFound(q *Query, known int) string {
	if known == 0 {
		return "there are no agents; add one: ossecd keygen add NAME"
	}
	return fmt.Sprintf("none of the %d agents is as asked for", known)
}

// writeAgents writes a table of the agents.
func writeAgents(ctx context.Context, m *client, q *Query, w io.Writer, colors bool) (matched, known int, err error) {
	t := newTable(w, colors, "ID", "NAME", "GROUP", "IP", "STATE", "SOURCE", "LAST SEEN", "VERSION", "CHANNEL", "CIPHER", "<EVENTS", "<MISSING", "<REFUSED")
	now := time.Now()
	matched, known, err = agentRows(ctx, m, q, func(a *Agent, _ []byte) error {
		t.row(a.cells(now)...)
		return t.err
	})
	return matched, known, errors.Join(err, t.end())
}

// cells are the columns of an agent.
func (a *Agent) cells(now time.Time) []cell {
	seen, missing := "-", "-"
	if a.LastSeen != nil {
		seen = age(now.Sub(*a.LastSeen)) + " ago"
	}
	missed := plain
	if a.Missing != nil {
		missing = strconv.FormatUint(*a.Missing, 10)
		if *a.Missing > 0 {
			missed = yellow
		}
	}
	return []cell{
		{a.ID, plain}, {a.Name, plain}, {orDash(strings.Join(a.Groups, ",")), plain}, {a.IP, plain}, a.stateCell(), {orDash(a.Source), plain},
		{seen, plain}, {orDash(a.Version), plain}, {orDash(a.Channel), plain}, {orDash(a.Cipher), plain},
		{strconv.FormatUint(a.Events, 10), plain}, {missing, missed}, {strconv.FormatUint(a.Refused, 10), plain},
	}
}

func (a *Agent) stateCell() cell {
	switch {
	case a.Starting:
		return cell{"connected (starting)", yellow}
	case a.Awaited:
		return cell{"disconnected (awaited)", yellow}
	case a.State == "connected":
		return cell{a.State, green}
	case a.State == "disconnected":
		return cell{a.State, red}
	}
	return cell{a.State, dim}
}

func orDash(s string) string { return cmp.Or(s, "-") }

// watchAgents prints the agents again and again: on a terminal in place of what was there, as many as it has room for.
func watchAgents(c *cli.Context, m *client, q *Query) error {
	defer m.http.CloseIdleConnections()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	tty := terminal(c.App.Writer)
	for first := true; ; first = false {
		var err error
		switch {
		case c.Bool("json"):
			err = listAgents(c, m, q)
		case tty == nil:
			if !first {
				fmt.Fprintln(c.App.Writer)
			}
			err = listAgents(c, m, q)
		default:
			err = repaint(c.Context, m, q, tty)
		}
		if c.Context.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-c.Context.Done():
			return nil
		case <-tick.C:
		}
	}
}

// repaint puts the present list in place of what a terminal shows. It is written at once, so that nothing flickers.
func repaint(ctx context.Context, m *client, q *Query, tty *os.File) error {
	now := *q
	now.Limit = max(1, heightOf(tty)-3)
	var page strings.Builder
	matched, known, err := writeAgents(ctx, m, &now, &page, colored(tty, os.Getenv))
	if err != nil {
		return err
	}
	head := fmt.Sprintf("%s  %d of %d agents", time.Now().Format(time.TimeOnly), matched, known)
	if matched > now.Limit {
		head += fmt.Sprintf(", the first %d are shown", now.Limit)
	}
	const home, clearLine, clearRest = "\x1b[H", "\x1b[K", "\x1b[J"
	text := strings.ReplaceAll(head+"\n"+page.String(), "\n", clearLine+"\n")
	_, err = io.WriteString(tty, home+text+clearRest)
	return err
}

// agentCommand is "ossecd manager agent".
func agentCommand(state string) *cli.Command {
	return &cli.Command{
		Name:      "agent",
		Usage:     "show all about one agent, and what to do if something is wrong with it",
		ArgsUsage: "ID|NAME",
		Description: `It shows who the agent is, whether it is there, what it sent and what of that was refused, and what to do about it. Messages that only
claim to come from the agent are told apart from those that were sealed with its key.

Examples:
   ossecd manager agent 001
   ossecd manager agent web01 --json`,
		Flags: clientFlags(state),
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return cli.Exit("name one agent by its ID or name: ossecd manager agent 001; ossecd manager agents lists all", 2)
			}
			var d AgentDetail
			raw, err := clientOf(c).ask(c.Context, http.MethodGet, "/v1/agents/"+url.PathEscape(c.Args().First()), nil, &d)
			if err == nil {
				show(c, raw, d.print)
			}
			return err
		},
	}
}

func (d AgentDetail) print(w io.Writer) {
	line := func(name, text string) { fmt.Fprintf(w, "%-14s %s\n", name, text) }
	line("agent", d.ID+" "+d.Name)
	line("may send from", d.IP)
	if len(d.Groups) > 0 {
		line("groups", strings.Join(d.Groups, ", "))
	}
	line("state", d.stateCell().text)
	seen := "never"
	if d.LastSeen != nil {
		seen = fmt.Sprintf("%s (%s ago)", d.LastSeen.Format(time.RFC3339), age(time.Since(*d.LastSeen)))
	}
	line("last seen", seen)
	line("sends from", orDash(d.Source))
	if d.Interval > 0 {
		line("keepalives", "every "+time.Duration(d.Interval*float64(time.Second)).String())
	}
	line("version", orDash(d.Version))
	line("channel", orDash(d.Channel))
	line("cipher", orDash(d.Cipher))
	made := "not known"
	if d.KeyMade != nil {
		made = fmt.Sprintf("made %s (%s ago)", d.KeyMade.Format(time.RFC3339), age(time.Since(*d.KeyMade)))
	}
	if d.Rotating {
		made += "; a new one is ordered"
	}
	line("key", made)
	line("events", strconv.FormatUint(d.Events, 10))
	missing := "not known"
	if d.Missing != nil {
		missing = strconv.FormatUint(*d.Missing, 10) + " messages"
	}
	line("missing", missing)
	line("refused", strconv.FormatUint(d.Refused, 10))
	for _, r := range d.Refusals {
		who := "sealed with its key"
		if !r.Proven {
			who = "only claimed to be from it, last from " + orDash(r.Source)
		}
		fmt.Fprintf(w, "   %s: %d, %s\n", strings.ReplaceAll(r.Reason, "_", " "), r.Count, who)
	}
	for i, text := range d.Remedies {
		if i == 0 {
			fmt.Fprintln(w, "what to do:")
		}
		fmt.Fprintf(w, "   - %s\n", text)
	}
}
