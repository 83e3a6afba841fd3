package manager

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"ossecd/proto"
)

// Why an order is refused as a whole.
var (
	errOrder   = errors.New("is no order")
	errNoAgent = errors.New("no such agent")
)

// maxOrder is the longest order in bytes: a stock agent reads datagrams of 1,024 bytes at most.
const maxOrder = 900

// orders sends to agents what they are told to do, for any goroutine.
type orders struct {
	m     *manager
	mu    sync.Mutex
	voice *voice
}

// Told is what became of an order to one agent.
type Told struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`        // it is alive, and the order was sent to where it was last heard
	Reason    string `json:"reason,omitempty"` // why it is not
}

// orderText is the control message of an order by its name, with the arguments of an active response: the command line of
// the stock exec daemon behind the name, which is that of a line of the agent's ar.conf (docs/protocol.md, "Events").
func orderText(name string, args []string) (string, error) {
	var text string
	switch name {
	case "syscheck-restart":
		text = proto.SyscheckNow
	case "reconnect":
		text = proto.ForceReconnect
	case "":
		return "", fmt.Errorf("%q %w; name an active response, syscheck-restart or reconnect", name, errOrder)
	default:
		if len(args) == 0 {
			args = []string{"-", "null", "(from_the_server)", "(no_rule_id)"}
		}
		return checkOrder(proto.Execd + strings.Join(append([]string{name}, args...), " "))
	}
	if len(args) > 0 {
		return "", fmt.Errorf("%q with arguments %w; %s takes none", args, errOrder, name)
	}
	return text, nil
}

func checkOrder(text string) (string, error) {
	if len(text) > maxOrder {
		return "", fmt.Errorf("a text of %d bytes %w; use %d at most", len(text), errOrder, maxOrder)
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		return "", fmt.Errorf("%.40q %w: it has control characters; write it without", text, errOrder)
	}
	return text, nil
}

// send tells the agents, all of them where ids is nil, and says for each what became of it, in the order of the IDs. An
// unknown ID is an error, and nobody is told then.
func (o *orders) send(ids []string, text string) ([]Told, error) {
	r := o.m.roster.Load()
	var agents []*agent
	if ids == nil {
		for _, a := range r.byID {
			agents = append(agents, a)
		}
	}
	for _, id := range ids {
		a := r.byID[id]
		if a == nil {
			return nil, fmt.Errorf("agent %.20q: %w; ossecd keygen list shows all", id, errNoAgent)
		}
		agents = append(agents, a)
	}
	slices.SortFunc(agents, func(a, b *agent) int { return compareIDs(a.key.ID, b.key.ID) })
	told := make([]Told, 0, len(agents))
	for _, a := range slices.Compact(agents) {
		told = append(told, o.tell(a, []byte(text)))
	}
	return told, nil
}

func (o *orders) tell(a *agent, message []byte) Told {
	t := Told{ID: a.key.ID, Name: a.key.Name}
	o.mu.Lock()
	defer o.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.life.state == unseen:
		t.Reason = "disconnected"
	case a.back == nil:
		t.Reason = "not heard since the manager started"
	default:
		if a.json {
			message = []byte(wazuhForm(string(message)))
		}
		if err := o.voice.say(a, message); err != nil {
			t.Reason = err.Error()
			break
		}
		t.Reachable = true
	}
	return t
}

// compareIDs sorts IDs by their number: these are texts of up to 8 digits.
func compareIDs(a, b string) int {
	x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(a, b))
}
