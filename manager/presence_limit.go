package manager

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ossecd/manager/sink"
)

// An agent can come and go as often as it likes, and what somebody is called for takes its time for each report. So presenceAtOnce of an
// agent's changes are reported as they come, and one more for every presenceEvery; the others are summed up in the next that may be told.
const (
	presenceAtOnce = 10
	presenceEvery  = time.Minute
)

// presenceLimit is what an agent may still report of its coming and going; the agent's mu guards it.
type presenceLimit struct {
	full    time.Time // when all presenceAtOnce may be told again
	untold  int       // changes that were not told
	action  string    // of the last of these
	details []byte
}

// may says whether a change may be told, and if so counts it.
func (c *presenceLimit) may(now time.Time) bool {
	from := c.full
	if wait := from.Sub(now); wait < 0 || wait > presenceAtOnce*presenceEvery { // more: the clock was set back
		from = now
	}
	if from.Sub(now) > (presenceAtOnce-1)*presenceEvery {
		return false
	}
	c.full = from.Add(presenceEvery)
	return true
}

// heldPresence are the agents of whose last change nothing was told. Its mu is taken after an agent's.
type heldPresence struct {
	mu     sync.Mutex
	agents map[*agent]struct{}
}

func (h *heldPresence) add(a *agent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agents == nil {
		h.agents = make(map[*agent]struct{})
	}
	h.agents[a] = struct{}{}
}

func (h *heldPresence) remove(a *agent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.agents, a)
}

func (h *heldPresence) all() (all []*agent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for a := range h.agents {
		all = append(all, a)
	}
	return all
}

// change reports that an agent came or went: now, or later with others. What the agent does not bring about itself, for which there is no
// payer, is always told. a.mu is held.
func (m *manager) change(a *agent, now time.Time, action string, details []byte, payer *agent) {
	if payer != nil && !a.presenceLimit.may(now) {
		a.presenceLimit.untold++
		a.presenceLimit.action, a.presenceLimit.details = action, details
		m.held.add(a)
		if a.mayLog(cameAndWent, now) {
			m.log.Warn("an agent comes and goes: its reports are summed up", "agent", a.key.ID, "name", a.key.Name, "source", a.source(),
				"remedy", "find out whether its host restarts it again and again, or who else has its key")
		}
		return
	}
	m.tellChange(a, now, action, details, payer)
}

func (m *manager) tellChange(a *agent, now time.Time, action string, details []byte, payer *agent) {
	if n := a.presenceLimit.untold; n > 0 {
		details = sink.Member(details, "untold", n)
		a.presenceLimit.untold, a.presenceLimit.details = 0, nil
		m.held.remove(a)
	}
	verb := "connected"
	if action == sink.Disconnected {
		verb = "disconnected"
	}
	m.report(a, now, fmt.Sprintf("ossec: Agent %s: '%s-%s'.", verb, a.key.Name, a.key.Address), sink.Report{Action: action, Details: string(details)}, payer)
}

// sumUp tells until ctx ends how things stand with agents of whose last change nothing was told; at the end with all of them.
func (m *manager) sumUp(ctx context.Context) {
	every(ctx, time.Second, func() { m.tellHeld(time.Now(), false) })
	m.tellHeld(time.Now(), true)
}

func (m *manager) tellHeld(now time.Time, all bool) {
	for _, a := range m.held.all() {
		a.mu.Lock()
		switch {
		case m.roster.Load().byID[a.key.ID] != a: // its key was removed or changed
			m.held.remove(a)
		case a.presenceLimit.untold > 0 && (all || a.presenceLimit.may(now)):
			a.presenceLimit.untold-- // what is told is the last of them
			m.held.remove(a)
			m.tellChange(a, now, a.presenceLimit.action, a.presenceLimit.details, a)
		}
		a.mu.Unlock()
	}
}
