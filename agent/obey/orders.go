// Package obey does what a manager may ask of an agent: store files, run an active response, check files, connect anew, take a new key.
// Each kind of order has a budget, and nothing is done that the host's own configuration does not allow.
package obey

import (
	"bytes"
	"log/slog"
	"sync"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/response"
	"ossecd/agent/shared"
	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/proto"
)

// Config says what a manager may have done, and who does it.
type Config struct {
	Dialect proto.Dialect
	Shared  *shared.Store
	Stored  func() // is called when a pushed file was stored; may be nil

	Responses *response.Source // obeys orders for active responses; nil where they are not enabled
	Execd     string           // socket of a stock execd that obeys them instead; empty without one
	Syscheck  []string         // stock installs whose syscheckd feeds this agent

	TakesKey bool // a new key may take the place of Key in the file Keys
	Key      keys.Key
	Keys     string
	// UseKey prepares for a key, in a goroutine of its own; use, in that of the orders, goes over to it.
	UseKey func(keys.Key) (use func(), err error)

	Log *slog.Logger
}

// Orders obeys one manager at a time. Its methods are for the goroutine that talks to the manager, which owns all of it.
type Orders struct {
	env
	wazuh               bool
	files               files
	keyChange           keyChange
	responder           responder
	syscheck            syscheck
	reconnects, answers *budget
}

// env is what those who obey a kind of order have in common.
type env struct {
	log     *slog.Logger
	limited *limitlog.Logger
	*work
}

// work is done by goroutines of its own, since the disk may be slow.
type work struct {
	results chan func() // has room for all that can be under way
	running sync.WaitGroup
}

// start does something; what it returns is left for the goroutine of the orders.
func (w *work) start(do func() (rest func())) {
	w.running.Go(func() { w.results <- do() })
}

// New makes Orders.
func New(cfg Config) *Orders {
	env := env{cfg.Log, limitlog.New(cfg.Log), &work{results: make(chan func(), 2)}} // of files and of keyChange
	return &Orders{
		env: env, wazuh: cfg.Dialect == proto.Wazuh,
		files:      files{env: env, store: cfg.Shared, stored: cfg.Stored, sums: cfg.Shared.Sums(), budget: newBudget("to store a file", 5*time.Second, 32)},
		keyChange:  keyChange{env: env, cfg: cfg, budget: newBudget("to take a new key", time.Minute, 3)},
		responder:  responder{env: env, responses: cfg.Responses, execd: cfg.Execd, budget: newBudget("for an active response", 100*time.Millisecond, 100)},
		syscheck:   syscheck{env: env, installs: cfg.Syscheck, budget: newBudget("to check files", time.Minute, 3)},
		reconnects: newBudget("to reconnect", time.Minute, 1),
		answers:    newBudget("to answer a request", 100*time.Millisecond, 20),
	}
}

// Results gives what is left to be done of an order. It is to be called in the goroutine of the orders.
func (o *Orders) Results() <-chan func() { return o.results }

// Begin forgets what a conversation that has ended left half done.
func (o *Orders) Begin() { o.files.begin() }

// Sums are those of the shared files as they are stored.
func (o *Orders) Sums() shared.Sums { return o.files.sums }

// Close waits for what is being written.
func (o *Orders) Close() { o.running.Wait() }

// Obey does what a message orders; say answers it. If the conversation is to end, leave says why, and remedy what a person can do.
func (o *Orders) Obey(m conversation.Message, say func(message []byte) error) (leave, remedy string) {
	switch m.Kind {
	case proto.ManagerUpFile, proto.ManagerChunk, proto.ManagerCloseFile:
		o.files.take(m)
	case proto.ManagerExecd:
		o.responder.obey(m.Rest)
	case proto.ManagerSyscheckNow:
		o.syscheck.obey()
	case proto.ManagerForceReconnect:
		if o.reconnects.allows(o.limited) {
			return "the manager ordered it", "none needed"
		}
	case proto.ManagerRemoved:
		if o.reconnects.allows(o.limited) {
			return "the manager removed this agent", conversation.RemovedRemedy
		}
	case proto.ManagerNewKey:
		o.keyChange.obey(m.Rest)
	default:
		o.other(m, say)
	}
	return "", ""
}

// other takes a control message that is no order which we know.
func (o *Orders) other(m conversation.Message, say func(message []byte) error) {
	switch {
	case o.wazuh && m.Kind == proto.ManagerRequest:
		o.answer(m.Rest, say)
	case o.wazuh && m.Kind == proto.ManagerError:
		o.limited.Warn("the manager reports an error", "text", sample(m.Rest), "remedy", "look at the manager's log")
	default:
		o.limited.Warn("an unknown order was ignored", "order", sample(bytes.TrimPrefix(m.Text, []byte(proto.ControlPrefix))),
			"remedy", "none needed unless it was meant for another program on this host")
	}
}

// answer answers a request of a Wazuh manager. Over UDP each side confirms what it got.
func (o *Orders) answer(request []byte, say func(message []byte) error) {
	number, command, ok := proto.ParseRequest(request)
	if !ok || !o.answers.allows(o.limited) {
		return
	}
	o.limited.Warn("a request was refused", "request", sample(command), "remedy", "none needed: ossecd does not answer requests of this kind")
	if say(proto.AppendReply(nil, number, "ack")) == nil {
		say(proto.AppendReply(nil, number, "err ossecd: not supported"))
	}
}

// sample is the beginning of foreign text, for the log.
func sample(p []byte) string { return string(p[:min(len(p), 200)]) }
