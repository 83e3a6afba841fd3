// Package order tells agents what to do: which words say it, in the form that the agent's program reads.
package order

import (
	"fmt"
	"strings"

	"ossecd/proto"
)

// Text is the control message of an order by its name, with the arguments of an active response: the command line of
// the stock exec daemon behind the name, which is that of a line of the agent's ar.conf (docs/protocol.md, "Events").
func Text(name string, args []string) (string, error) {
	var text string
	switch name {
	case "syscheck-restart":
		text = proto.SyscheckNow
	case "reconnect":
		text = proto.ForceReconnect
	case "":
		return "", fmt.Errorf("%q %w; name an active response, syscheck-restart or reconnect", name, proto.ErrOrder)
	default:
		if len(args) == 0 {
			args = []string{"-", "null", "(from_the_server)", "(no_rule_id)"}
		}
		text = proto.Execd + strings.Join(append([]string{name}, args...), " ")
		return text, proto.CheckOrder(text)
	}
	if len(args) > 0 {
		return "", fmt.Errorf("%q with arguments %w; %s takes none", args, proto.ErrOrder, name)
	}
	return text, nil
}
