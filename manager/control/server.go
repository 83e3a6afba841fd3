package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/named"
	"ossecd/manager/fleet"
	"ossecd/manager/journal"
	"ossecd/manager/order"
)

// maxRequest bounds the body of a request, in bytes: 10,000 IDs have room.
const maxRequest = 256 << 10

// writeWithin is how long who asks may take to read an answer.
const writeWithin = time.Minute

// Config is what the control socket is told of.
type Config struct {
	Path    string // of the socket
	Keys    string // path of client.keys
	Run     string // names this run of the manager
	Version string // of the program
	Started time.Time
	Store   *keys.Store
	Fleet   Fleet
	Orders  *order.Dispatcher

	Refused func() map[string]uint64 // what was refused of what agents sent, by reason
	Sinks   func() iter.Seq2[string, journal.Counts]
	// Held is what the journal holds, and JournalLimit what it may, in bytes.
	Held         func() (bytes int64, events uint64, oldest time.Time)
	JournalLimit int64
	Events       func() uint64                 // that were taken from agents
	Lost         func() (crowded, full uint64) // events that no sink got: over an agent's share, and without room
	// Dropped is datagrams that the system dropped; false where it does not tell.
	Dropped func() (uint64, bool)
	Enroll  func() (uint64, map[string]uint64) // agents that were given a key, and refusals by reason; nil where that is off

	Log *slog.Logger
}

// Fleet is what is asked of the agents.
type Fleet interface {
	Roster() *fleet.Roster
	Groups(*fleet.Agent) []string // of the configuration
}

// Server is the control socket.
type Server struct {
	cfg    Config
	server *http.Server
	socket net.Listener
}

// Open opens the control socket, in place of one that nobody serves.
func Open(cfg Config) (*Server, error) {
	path := cfg.Path
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
	s := &Server{cfg: cfg, socket: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.status()) })
	mux.HandleFunc("GET /v1/agents", s.list)
	mux.HandleFunc("GET /v1/agents/{agent}", s.detail)
	mux.HandleFunc("POST /v1/orders", s.order)
	s.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: writeWithin, MaxHeaderBytes: 8 << 10}
	return s, nil
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { s.server.Close() })()
	if err := s.server.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
		s.cfg.Log.Error("the control socket is not served", "err", err)
	}
}

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
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
		k, err := named.Find(s.cfg.Store.Load(), text, s.cfg.Keys)
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		o.Agents[i] = k.ID
	}
	told, err := s.cfg.Orders.Send("control socket", o.Agents, text)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	answer(w, http.StatusOK, OrderAnswer{told})
}

// Close closes the socket where there will be no Run.
func (s *Server) Close() { s.socket.Close() }

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

// members makes the name of a reason one for a member of a JSON object.
func members(reason string) string { return strings.ReplaceAll(reason, " ", "_") }
