// Package order tells agents what to do: which words say it, in the form that the agent's program reads.
package order

import (
	"fmt"
	"strings"
	"unicode"

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
		whole := strings.HasPrefix(name, "{") // in Wazuh's form
		if err := checkWords(name, args, whole); err != nil {
			return "", err
		}
		if len(args) == 0 && !whole {
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

// checkWords says whether name, user, address, alert and rule are a word each. The form knows no quotes: a user's name with a blank would be
// two words, and the second of them the address. What stands behind these, the location, may have blanks.
func checkWords(name string, args []string, whole bool) error {
	if whole && len(args) > 0 {
		return fmt.Errorf("%.40q with arguments %w; write them into the JSON", name, proto.ErrOrder)
	}
	words := append([]string{name}, args[:min(len(args), 4)]...)
	for i, word := range words {
		if !whole && (word == "" || strings.ContainsFunc(word, unicode.IsSpace)) {
			return fmt.Errorf("%.40q %w: its word %d is empty or has blanks; give - for what there is none of", words, proto.ErrOrder, i+1)
		}
	}
	return nil
}
