package manager

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"ossecd/manager/order"
	"ossecd/manager/stock"
)

// errNoAgent says that an order is for an agent that there is not.
var errNoAgent = errors.New("no such agent")

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
			message = []byte(order.WazuhForm(string(message)))
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

// fulfil sends what was asked for to those who are meant.
func (m *manager) fulfil(r stock.Request) ([]Told, error) {
	if r.All {
		return m.orders.send(nil, r.Text)
	}
	var ids []string
	if r.ID != "" {
		ids = append(ids, r.ID)
	}
	if r.Sender != "" {
		id := m.idOf(r.Sender)
		if id == "" {
			return nil, fmt.Errorf("agent %.130q: %w", r.Sender, errNoAgent)
		}
		ids = append(ids, id)
	}
	return m.orders.send(ids, r.Text)
}

// idOf is the ID of the agent of this name, or "".
func (m *manager) idOf(name string) string {
	for id, a := range m.roster.Load().byID {
		if a.key.Name == name {
			return id
		}
	}
	return ""
}

// obey does what the active-response queue asks for.
func (m *manager) obey(r stock.Request) error {
	told, err := m.fulfil(r)
	if err == nil {
		m.logOrder("active-response queue", r.Text, told)
	}
	return err
}

// logOrder logs an order that was given.
func (m *manager) logOrder(from, text string, told []Told) {
	reached := 0
	for _, t := range told {
		if t.Reachable {
			reached++
		}
	}
	m.log.Info("order", "from", from, "order", text[:min(len(text), 200)], "agents", len(told), "reached", reached)
}
