package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/manager/order"
)

// Socket is where the control socket of a state directory is.
func Socket(state string) string { return filepath.Join(state, "control.sock") }

// Commands are those that ask a running manager. state is its state directory if no other is named.
func Commands(state string) []*cli.Command {
	return []*cli.Command{orderCommand(state), statusCommand(state)}
}

func clientFlags(state string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "state", Value: state, Usage: "state `DIR` of the running manager"},
		&cli.StringFlag{Name: "control-socket", Usage: "`PATH` of its control socket", DefaultText: "STATE/control.sock"},
		&cli.BoolFlag{Name: "json", Usage: "print the answer as JSON"},
	}
}

// orderCommand is "ossecd manager order".
func orderCommand(state string) *cli.Command {
	return &cli.Command{
		Name:      "order",
		Usage:     "tell agents to run an active response, to check their files, or to reconnect",
		ArgsUsage: "ID|all ACTION [ARGS…]",
		Description: `ACTION is syscheck-restart, reconnect (for Wazuh's agents and ossecd), or the name of an active response as in the
agents' ar.conf. Its ARGS are passed on as they are. By convention they are USER ADDRESS ALERT RULE, with - for no user. Wazuh's agents
from 4.2 on get them as JSON. Put -- before ARGS that begin with a dash.

An order is sent once, and the protocol has no answer to it. The output says for each agent whether the order was sent: it is if the
agent is connected. The exit code is 1 if it was sent to none.

Examples:
   ossecd manager order 001 restart-ossec0          (an OSSEC agent)
   ossecd manager order 002 restart-wazuh           (a Wazuh agent)
   ossecd manager order web01 host-deny600 - 203.0.113.66 by-hand 0
   ossecd manager order all syscheck-restart`,
		Flags: clientFlags(state),
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) < 2 {
				return cli.Exit("say whom and what: ossecd manager order ID|all ACTION [ARGS…]", 2)
			}
			o := OrderRequest{All: args[0] == "all", Action: args[1], Args: args[2:]}
			if !o.All {
				o.Agents = []string{args[0]}
			}
			if _, err := order.Text(o.Action, o.Args); err != nil {
				return cli.Exit(err.Error(), 2)
			}
			var a OrderAnswer
			raw, err := ask(c, http.MethodPost, "/v1/orders", o, &a)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				c.App.Writer.Write(raw)
			}
			reached := 0
			for _, t := range a.Agents {
				text := "sent"
				if t.Reachable {
					reached++
				} else {
					text = "not reachable: " + t.Reason
				}
				if !c.Bool("json") {
					fmt.Fprintf(c.App.Writer, "%s %s: %s\n", t.ID, t.Name, text)
				}
			}
			if reached == 0 {
				return errors.New("no agent was reachable; ossecd manager status --agents" + sameManager(c) + " shows who is there")
			}
			return nil
		},
	}
}

// sameManager repeats the flags that say which manager is meant.
func sameManager(c *cli.Context) (flags string) {
	for _, name := range []string{"config", "state", "control-socket"} {
		if c.IsSet(name) {
			flags += " --" + name + " " + c.String(name)
		}
	}
	return flags
}

// statusCommand is "ossecd manager status".
func statusCommand(state string) *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show how the running manager is: agents, sinks, refusals",
		ArgsUsage: " ",
		Description: `With --agents there is a line for each agent: ID, name, address, state, where it sends from, and when it was last heard.

Examples:
   ossecd manager status
   ossecd manager status --agents
   ossecd manager status --json --state ./state`,
		Flags: append(clientFlags(state), &cli.BoolFlag{Name: "agents", Usage: "list the agents instead"}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("unexpected argument %q; ossecd manager status --agents lists agents", c.Args().First()), 2)
			}
			if c.Bool("agents") {
				var all []AgentStatus
				raw, err := ask(c, http.MethodGet, "/v1/agents", nil, &all)
				if err == nil {
					show(c, raw, func(w io.Writer) { printAgents(w, all) })
				}
				return err
			}
			var s Status
			raw, err := ask(c, http.MethodGet, "/v1/status", nil, &s)
			if err == nil {
				show(c, raw, s.print)
			}
			return err
		},
	}
}

// show prints an answer, raw with --json.
func show(c *cli.Context, raw []byte, print func(io.Writer)) {
	if c.Bool("json") {
		c.App.Writer.Write(raw)
		return
	}
	print(c.App.Writer)
}

func printAgents(w io.Writer, all []AgentStatus) {
	for _, a := range all {
		seen, source := "never", "-"
		if a.LastSeen != nil {
			seen = a.LastSeen.Format(time.RFC3339)
		}
		if a.Source != "" {
			source = a.Source
		}
		fmt.Fprintf(w, "%s %s %s %s %s %s\n", a.ID, a.Name, a.IP, a.State, source, seen)
	}
}

func (s Status) print(w io.Writer) {
	fmt.Fprintf(w, "up since %s\n", s.Started.Format(time.RFC3339))
	fmt.Fprintf(w, "agents: %d known, %d connected, %d starting, %d awaited since the last start\n", s.Agents.Known, s.Agents.Connected, s.Agents.Starting, s.Agents.Awaited)
	for _, k := range s.Sinks {
		fmt.Fprintf(w, "sink %s: received %d, delivered %d, pending %d, lost %d, filtered %d\n", k.Name, k.Received, k.Delivered, k.Pending, k.Lost, k.Filtered)
	}
	if len(s.Refused) > 0 {
		fmt.Fprintf(w, "refused: %s\n", reasonList(s.Refused))
	}
	if e := s.Enroll; e != nil {
		fmt.Fprintf(w, "enrolled: %d\n", e.Enrolled)
		if len(e.Refused) > 0 {
			fmt.Fprintf(w, "enrolments refused: %s\n", reasonList(e.Refused))
		}
	}
}

func reasonList(counts map[string]uint64) string {
	var why []string
	for name, n := range counts {
		why = append(why, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), n))
	}
	slices.Sort(why)
	return strings.Join(why, ", ")
}

const (
	askWithin = time.Minute
	maxAnswer = 64 << 20 // bytes; an agent takes some 200
)

// ask sends a request to the running manager and reads its answer into v; raw is that answer.
func ask(c *cli.Context, method, path string, request, v any) (raw []byte, err error) {
	socket := c.String("control-socket")
	if socket == "" {
		socket = Socket(c.String("state"))
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: askWithin, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(c.Context, method, "http://manager"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		var of *url.Error // its URL is none that anybody could use
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, fmt.Errorf("control socket: %w; check that the manager runs, name its --state, and be in the group of %s", err, socket)
	}
	defer answer.Body.Close()
	if raw, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		var fault struct{ Error string }
		json.Unmarshal(raw, &fault)
		return nil, fmt.Errorf("the manager refused (%s): %s", answer.Status, fault.Error)
	}
	return raw, json.Unmarshal(raw, v)
}
