package manager

import (
	"slices"
	"time"
)

var stateNames = map[presence]string{unseen: "disconnected", awaited: "awaited", connected: "connected"}

// agentStatus is how all agents are, by ID.
func (m *manager) agentStatus() []AgentStatus {
	r := m.roster.Load()
	all := make([]AgentStatus, 0, len(r.byID))
	for _, a := range r.byID {
		all = append(all, a.status())
	}
	slices.SortFunc(all, func(a, b AgentStatus) int { return compareIDs(a.ID, b.ID) })
	return all
}

func (a *agent) status() AgentStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AgentStatus{ID: a.key.ID, Name: a.key.Name, IP: a.key.Address.String(), State: stateNames[a.life.state], Interval: a.life.interval().Seconds()}
	if a.life.starting() {
		s.State = "starting"
	}
	if seen := a.heard(); !seen.IsZero() {
		seen = seen.UTC().Round(time.Millisecond)
		s.LastSeen = &seen
	}
	if a.back != nil {
		s.Source = a.back.To.String()
	}
	return s
}
