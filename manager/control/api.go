// Package control is how people and programs ask a running manager: a unix socket that speaks HTTP, and the commands that use it.
package control

import (
	"time"

	"ossecd/manager/order"
)

// The control socket speaks HTTP with JSON at STATE/control.sock:
//
//	GET  /v1/status   Status
//	GET  /v1/agents   []AgentStatus, by ID
//	POST /v1/orders   OrderRequest; answers OrderAnswer
//
// What is wrong is answered with a status from 400 on and {"error": "..."}.

// Status is how the manager as a whole is.
type Status struct {
	Run     string            `json:"run"` // names this run of the manager
	Started time.Time         `json:"started"`
	Agents  AgentCounts       `json:"agents"`
	Refused map[string]uint64 `json:"refused"` // datagrams and messages, by reason
	Sinks   []SinkStatus      `json:"sinks"`
	Enroll  *EnrollStatus     `json:"enroll,omitempty"` // where that is on
}

// EnrollStatus are the counts of enrolment.
type EnrollStatus struct {
	Enrolled uint64            `json:"enrolled"` // agents that were given a key
	Refused  map[string]uint64 `json:"refused"`  // connections and requests, by reason
}

// AgentCounts are numbers of agents.
type AgentCounts struct {
	Known     int `json:"known"`
	Connected int `json:"connected"`
	Starting  int `json:"starting"` // connected, and without a keepalive since their startup
	Awaited   int `json:"awaited"`  // connected before the manager restarted, and not heard since
}

// SinkStatus are the counts of a sink: received = delivered + pending + lost.
type SinkStatus struct {
	Name      string `json:"name"`
	Received  uint64 `json:"received"`
	Delivered uint64 `json:"delivered"`
	Pending   uint64 `json:"pending"`
	Lost      uint64 `json:"lost"`
	Filtered  uint64 `json:"filtered"`
}

// AgentStatus is how an agent is.
type AgentStatus struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	IP       string     `json:"ip"`    // as in client.keys
	State    string     `json:"state"` // "connected", "starting" (no keepalive since its startup), "awaited" or "disconnected"
	Source   string     `json:"source,omitempty"`
	LastSeen *time.Time `json:"last_seen,omitempty"`
	Interval float64    `json:"interval_seconds,omitempty"` // of its keepalives, as far as known
}

// OrderRequest asks for an order.
type OrderRequest struct {
	All    bool     `json:"all,omitempty"`
	Agents []string `json:"agents,omitempty"` // IDs
	Action string   `json:"action"`           // the name of an active response, "syscheck-restart" or "reconnect"
	Args   []string `json:"args,omitempty"`   // of an active response
}

// OrderAnswer says what became of an order, by agent.
type OrderAnswer struct {
	Agents []order.Told `json:"agents"`
}
