package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/named"
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
	Agents []Told `json:"agents"`
}

// maxRequest bounds the body of a request, in bytes: 10,000 IDs have room.
const maxRequest = 256 << 10

// control is the control socket.
type control struct {
	m      *manager
	server *http.Server
	socket net.Listener
}

// openControl opens the control socket, in place of one that nobody serves.
func (m *manager) openControl() (*control, error) {
	path := m.cfg.Control
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("control socket: another process serves %s; name another with --control-socket", path)
	}
	if err := durable.RemoveSocket(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		if err = durable.OpenToGroup(path); err != nil {
			l.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w; a path may have some 100 bytes: name another with --control-socket", err)
	}
	c := &control{m: m, socket: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, m.status()) })
	mux.HandleFunc("GET /v1/agents", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, m.agentStatus()) })
	mux.HandleFunc("POST /v1/orders", c.order)
	c.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	return c, nil
}

// run serves until ctx ends.
func (c *control) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { c.server.Close() })()
	if err := c.server.Serve(c.socket); !errors.Is(err, http.ErrServerClosed) {
		c.m.limited.Error("the control socket is not served", "err", err)
	}
}

func (c *control) order(w http.ResponseWriter, r *http.Request) {
	var o OrderRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the request: %w", err))
		return
	}
	if o.All == (len(o.Agents) > 0) {
		refuse(w, http.StatusBadRequest, errors.New("name agents, or say all"))
		return
	}
	text, err := order.Text(o.Action, o.Args)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if o.All {
		o.Agents = nil
	}
	for i, text := range o.Agents {
		k, err := named.Find(c.m.store.Load(), text, c.m.cfg.Keys)
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		o.Agents[i] = k.ID
	}
	told, err := c.m.orders.send(o.Agents, text)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	c.m.logOrder("control socket", text, told)
	answer(w, http.StatusOK, OrderAnswer{told})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(v)
}

func refuse(w http.ResponseWriter, code int, err error) {
	answer(w, code, map[string]string{"error": err.Error()})
}

// memberName is a reason's name as a member of a JSON object.
func memberName(why string) string { return strings.ReplaceAll(why, " ", "_") }

func (m *manager) status() Status {
	s := Status{Run: m.run, Started: m.started.UTC(), Refused: make(map[string]uint64)}
	for why := malformed; why < numReasons; why++ {
		if n := m.refusals.counts[why].Load(); n > 0 {
			s.Refused[memberName(why.String())] = n
		}
	}
	if m.enrolment != nil {
		s.Enroll = &EnrollStatus{Refused: make(map[string]uint64)}
		enrolled, refused := m.enrolment.Counts()
		s.Enroll.Enrolled = enrolled
		for why, n := range refused {
			s.Enroll.Refused[memberName(why)] = n
		}
	}
	for _, a := range m.roster.Load().byID {
		a.mu.Lock()
		state, starting := a.life.state, a.life.starting()
		a.mu.Unlock()
		s.Agents.Known++
		switch {
		case starting:
			s.Agents.Starting++
		case state == connected:
			s.Agents.Connected++
		case state == awaited:
			s.Agents.Awaited++
		}
	}
	for name, c := range m.sinks.Counts() {
		s.Sinks = append(s.Sinks, SinkStatus{name, c.Received, c.Delivered, c.Pending, c.Lost, c.Filtered})
	}
	return s
}
