// Package stock is what stands in for a stock OSSEC server, in its install directory: its layout, the files about agents, and the queue of
// active responses.
package stock

import "path/filepath"

// Layout is the install directory of a stock server, in place of whose remote daemon we run. The empty Layout is none, and has empty paths.
type Layout string

// Keys, Shared, Rids and AnalysisQueue are where the server has what we read and write in its stead.
func (l Layout) Keys() string          { return l.path("etc/client.keys") }
func (l Layout) Shared() string        { return l.path("etc/shared") }
func (l Layout) Rids() string          { return l.path("queue/rids") }
func (l Layout) AnalysisQueue() string { return l.path("queue/ossec/queue") }

// ARQueue is the socket of active responses, AgentInfo the directory of the files about agents.
func (l Layout) ARQueue() string   { return l.path("queue/alerts/ar") }
func (l Layout) AgentInfo() string { return l.path("queue/agent-info") }

func (l Layout) path(below string) string {
	if l == "" {
		return ""
	}
	return filepath.Join(string(l), filepath.FromSlash(below))
}
