// Package status is what the agent tells about itself: its metrics and its health.
package status

import (
	"errors"
	"maps"
	"slices"

	"ossecd/keys/metrics"
)

// Agent is what is asked of an agent.
type Agent struct {
	Version string
	Outbox  interface {
		Read() map[string]uint64           // events of each kind of source
		Moved() (sent, arrived uint64)     // events
		Connected() (managers, all int)    // how many take events
		Spooled() (bytes int64, kept bool) // false without a spool
	}
}

// Collect writes the agent's metrics (docs/monitoring.md).
func (a *Agent) Collect(w *metrics.Writer) {
	w.BuildInfo(a.Version)
	var read []metrics.Sample
	counts := a.Outbox.Read()
	for _, source := range slices.Sorted(maps.Keys(counts)) {
		read = append(read, metrics.Value(float64(counts[source]), "source", source))
	}
	w.Counter("ossecd_agent_events_read_total", "Events read, by kind of source.", read...)
	sent, arrived := a.Outbox.Moved()
	w.Counter("ossecd_agent_events_sent_total", "Events sent, those sent again among them.", metrics.Value(float64(sent)))
	w.Counter("ossecd_agent_events_acknowledged_total", "Events that are known to have arrived.", metrics.Value(float64(arrived)))
	if bytes, kept := a.Outbox.Spooled(); kept {
		w.Gauge("ossecd_agent_spool_bytes", "Size of the spool on disk.", metrics.Value(float64(bytes)))
	}
	connected := 0.0
	if a.Ready() == nil {
		connected = 1
	}
	w.Gauge("ossecd_agent_connected", "1 while all managers that are to get the events take them, otherwise 0.", metrics.Value(connected))
}

// Ready says what keeps the agent from delivering events.
func (a *Agent) Ready() error {
	if n, all := a.Outbox.Connected(); n < all {
		return errors.New("no manager answers; ossecd send-test with the same key says what to check")
	}
	return nil
}
