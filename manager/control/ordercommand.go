package control

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"ossecd/manager/order"
)

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
			raw, err := clientOf(c).ask(c.Context, http.MethodPost, "/v1/orders", o, &a)
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
				return errors.New("no agent was reachable; ossecd manager agents" + sameManager(c) + " shows who is there")
			}
			return nil
		},
	}
}
