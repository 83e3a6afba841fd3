package order

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"ossecd/keys/limitlog"
	"ossecd/manager/fleet"
)

// errNoAgent says that an order is for an agent that there is not.
var errNoAgent = errors.New("no such agent")

// Dispatcher sends to agents what they are told to do, for any goroutine.
type Dispatcher struct {
	fleet   *fleet.Fleet
	log     *slog.Logger
	limited *limitlog.Logger
}

// NewDispatcher makes one for the agents of a fleet.
func NewDispatcher(f *fleet.Fleet, log *slog.Logger) *Dispatcher {
	return &Dispatcher{f, log, limitlog.New(log)}
}

// Told is what became of an order to one agent.
type Told struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`        // it is alive, and the order was sent to where it was last heard
	Reason    string `json:"reason,omitempty"` // why it is not
}

// Send tells the agents, all of them where ids is nil, and says for each what became of it, in the order of the IDs. An
// unknown ID is an error, and nobody is told then. from says in the log who orders it.
func (d *Dispatcher) Send(from string, ids []string, text string) ([]Told, error) {
	agents, roster := []*fleet.Agent(nil), d.fleet.Roster()
	if ids == nil {
		agents = roster.All()
	}
	for _, id := range ids {
		a := roster.ByID(id)
		if a == nil {
			return nil, fmt.Errorf("agent %.20q: %w; ossecd keygen list shows all", id, errNoAgent)
		}
		agents = append(agents, a)
	}
	fleet.Sort(agents)
	told, reached := make([]Told, 0, len(agents)), 0
	for _, a := range slices.Compact(agents) {
		t := tell(a, text)
		if t.Reachable {
			reached++
		}
		told = append(told, t)
	}
	d.log.Info("order", "from", from, "order", text[:min(len(text), 200)], "agents", len(told), "reached", reached)
	return told, nil
}

func tell(a *fleet.Agent, text string) Told {
	t := Told{ID: a.Key.ID, Name: a.Key.Name}
	if a.Disconnected() {
		t.Reason = "disconnected"
		return t
	}
	if a.Conversation().Traits().ReadsJSON {
		text = WazuhForm(text)
	}
	if err := a.Conversation().Send([]byte(text)); err != nil {
		t.Reason = err.Error()
		return t
	}
	t.Reachable = true
	return t
}
