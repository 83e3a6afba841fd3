// Package control is how people and programs ask a running manager: a unix socket that speaks HTTP, and the commands that use it.
package control

import (
	"time"

	"ossecd/manager/order"
)

// The control socket speaks HTTP with JSON at STATE/control.sock (docs/api.md):
//
//	GET  /v1/status            Status
//	GET  /v1/agents            one Agent a line; see Query for the filters
//	GET  /v1/agents/{agent}    AgentDetail, by ID or name
//	POST /v1/orders            OrderRequest; answers OrderAnswer
//
// What is wrong is answered with a status from 400 on and {"error": "..."}.

// Status is how the manager as a whole is.
type Status struct {
	Run     string            `json:"run"` // names this run of the manager
	UpSince time.Time         `json:"up_since"`
	Version string            `json:"version"`
	Agents  AgentCounts       `json:"agents"`
	Sinks   []SinkStatus      `json:"sinks"`
	Journal *JournalStatus    `json:"journal"`
	Refused map[string]uint64 `json:"refused"` // datagrams and messages, by reason
	// KernelDropped is datagrams that the system dropped, since the receive buffers were full; null where it does not tell.
	KernelDropped *uint64       `json:"kernel_dropped"`
	Enroll        *EnrollStatus `json:"enroll,omitempty"` // where that is on
}

// EnrollStatus are the counts of enrolment.
type EnrollStatus struct {
	Enrolled uint64            `json:"enrolled"` // agents that were given a key
	Refused  map[string]uint64 `json:"refused"`  // connections and requests, by reason
}

// AgentCounts are numbers of agents: known = connected + disconnected + never.
type AgentCounts struct {
	Known        int `json:"known"`
	Connected    int `json:"connected"`
	Disconnected int `json:"disconnected"`
	Never        int `json:"never"`    // heard
	Starting     int `json:"starting"` // of those connected: without a keepalive since their startup
	Awaited      int `json:"awaited"`  // of those disconnected: connected before the manager restarted, and not heard since
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

// JournalStatus is what the journal holds.
type JournalStatus struct {
	Bytes  int64      `json:"bytes"`
	Limit  int64      `json:"limit"`  // bytes that it may hold
	Events uint64     `json:"events"` // those that sinks still need, and those before that are kept
	Oldest *time.Time `json:"oldest"` // about when the oldest was written; null without any
}

// Agent is how an agent is. Counts are those since the manager started.
type Agent struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	IP       string     `json:"ip"` // as in client.keys
	Groups   []string   `json:"groups"`
	State    string     `json:"state"`              // "connected", "disconnected" or "never"
	Starting bool       `json:"starting,omitempty"` // connected, and without a keepalive since its startup
	Awaited  bool       `json:"awaited,omitempty"`  // disconnected: connected before the manager restarted, and not heard since
	Source   string     `json:"source"`             // where it sends from; empty where it was not heard since the manager started
	LastSeen *time.Time `json:"last_seen"`
	Interval float64    `json:"interval_seconds,omitempty"` // of its keepalives, as far as known
	Version  string     `json:"version"`                    // of its program, with the name; empty before its first keepalive
	Channel  string     `json:"channel"`                    // "ossec", "wazuh", "wazuh5" or "own"; empty where it was not heard
	Cipher   string     `json:"cipher"`                     // "blowfish" or "aes"; likewise
	KeyMade  *time.Time `json:"key_made"`                   // null where it is not known
	Events   uint64     `json:"events"`
	Missing  *uint64    `json:"missing"` // messages that did not come, by the gaps in their counts; null where it was not heard
	Refused  uint64     `json:"refused"` // messages that claim to be its
}

// AgentDetail is all about one agent.
type AgentDetail struct {
	Agent
	Rotating bool      `json:"rotating"` // a new key is ordered for it, which it has not used
	Refusals []Refusal `json:"refusals"`
	Remedies []string  `json:"remedies"` // what to do, most urgent first
}

// Refusal is messages of an agent that were refused for one reason.
type Refusal struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	Proven bool   `json:"proven"`           // they were sealed with its key
	Source string `json:"source,omitempty"` // not proven: who sent the last
	Remedy string `json:"remedy"`
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
