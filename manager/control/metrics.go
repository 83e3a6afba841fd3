package control

import (
	"maps"
	"slices"

	"ossecd/keys/metrics"
)

// Collect writes the manager's metrics (docs/monitoring.md). No label is an agent's.
func (cfg *Config) Collect(w *metrics.Writer) {
	w.BuildInfo(cfg.Version)
	w.Counter("ossecd_manager_events_received_total", "Events taken from agents.", metrics.Value(float64(cfg.Events())))
	var delivered, pending, lost []metrics.Sample
	for name, c := range cfg.Sinks() {
		delivered = append(delivered, metrics.Value(float64(c.Delivered), "sink", name))
		pending = append(pending, metrics.Value(float64(c.Pending), "sink", name))
		lost = append(lost, metrics.Value(float64(c.Lost-min(c.Lost, c.Refused)), "sink", name, "reason", "fell_behind"),
			metrics.Value(float64(c.Refused), "sink", name, "reason", "refused"))
	}
	crowded, full := cfg.Lost()
	lost = append(lost, metrics.Value(float64(crowded), "sink", "", "reason", "agent_share"), metrics.Value(float64(full), "sink", "", "reason", "memory_full"))
	w.Counter("ossecd_manager_events_delivered_total", "Events that a sink has taken.", delivered...)
	w.Gauge("ossecd_manager_events_pending", "Events that wait for a sink.", pending...)
	w.Counter("ossecd_manager_events_lost_total", "Events that a sink has not got and never will; without a sink, those that no sink got.", lost...)
	var refused []metrics.Sample
	counts := byReason(cfg.Refused())
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		refused = append(refused, metrics.Value(float64(counts[reason]), "reason", reason))
	}
	w.Counter("ossecd_manager_messages_refused_total", "Messages and datagrams that were not taken.", refused...)
	n := countAgents(cfg.Fleet)
	w.Gauge("ossecd_manager_agents", "Agents by state.", metrics.Value(float64(n.Connected), "state", "connected"),
		metrics.Value(float64(n.Disconnected), "state", "disconnected"), metrics.Value(float64(n.Never), "state", "never"))
	w.Gauge("ossecd_manager_agents_awaited", "Disconnected agents that were connected before the manager restarted, and have still time to come back.", metrics.Value(float64(n.Awaited)))
	w.Gauge("ossecd_manager_agents_starting", "Connected agents without a keepalive since their startup.", metrics.Value(float64(n.Starting)))
	if dropped, ok := cfg.Dropped(); ok {
		w.Counter("ossecd_manager_kernel_dropped_total", "Datagrams that the system dropped, since the receive buffers were full.", metrics.Value(float64(dropped)))
	}
	held, _, _ := cfg.Held()
	w.Gauge("ossecd_manager_journal_bytes", "Size of the journal on disk.", metrics.Value(float64(held)))
	w.Gauge("ossecd_manager_journal_limit_bytes", "Size that the journal may have.", metrics.Value(float64(cfg.JournalLimit)))
	if cfg.Enroll != nil {
		enrolled, _ := cfg.Enroll()
		w.Counter("ossecd_manager_agents_enrolled_total", "Agents that were given a key.", metrics.Value(float64(enrolled)))
	}
}
