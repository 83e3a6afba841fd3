package control

import (
	"time"
)

// status is how the manager as a whole is.
func (s *Server) status() Status {
	cfg := &s.cfg
	status := Status{Run: cfg.Run, UpSince: cfg.Started.UTC(), Version: cfg.Version, Refused: byReason(cfg.Refused()), Agents: countAgents(cfg.Fleet), Sinks: []SinkStatus{}}
	if cfg.Enroll != nil {
		enrolled, refused := cfg.Enroll()
		status.Enroll = &EnrollStatus{enrolled, byReason(refused)}
	}
	for name, c := range cfg.Sinks() {
		status.Sinks = append(status.Sinks, SinkStatus{name, c.Received, c.Delivered, c.Pending, c.Lost, c.Filtered})
	}
	if cfg.Held != nil {
		j := &JournalStatus{Limit: cfg.JournalLimit}
		var oldest time.Time
		if j.Bytes, j.Events, oldest = cfg.Held(); !oldest.IsZero() {
			oldest = oldest.UTC()
			j.Oldest = &oldest
		}
		status.Journal = j
	}
	if cfg.Dropped != nil {
		if n, ok := cfg.Dropped(); ok {
			status.KernelDropped = &n
		}
	}
	return status
}

func countAgents(f Fleet) (n AgentCounts) {
	for a := range f.Roster().Each {
		n.Known++
		now := a.Status()
		switch now.State {
		case "connected":
			n.Connected++
		case "disconnected":
			n.Disconnected++
		default:
			n.Never++
		}
		if now.Starting {
			n.Starting++
		}
		if now.Awaited {
			n.Awaited++
		}
	}
	return n
}

// byReason are counts whose names are members of a JSON object.
func byReason(counts map[string]uint64) map[string]uint64 {
	all := make(map[string]uint64, len(counts))
	for name, n := range counts {
		all[members(name)] = n
	}
	return all
}
