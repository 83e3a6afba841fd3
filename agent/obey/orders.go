// Package obey does what a manager may ask of an agent: store files, run an active response, check files, connect anew, take a new key.
// Each kind of order has a budget, and nothing is done that the host's own configuration does not allow.
package obey

import (
	"bytes"
	"log/slog"
	"sync"

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

// Orders obeys one manager at a time. Its methods are for the goroutine that talks to the manager; what takes time, as the disk does, is
// done by another one, which hands back to it the rest of the work by Results.
type Orders struct {
	cfg     Config
	log     *slog.Logger
	limited *limitlog.Logger
	budget  budget

	push    shared.Push
	pushed  uint64 // the count of the last message of a push
	sums    shared.Sums
	storing bool // a file is being stored, or the result is not taken yet

	rekeying bool // likewise with a new key

	results chan func() // has room for one of each kind
	running sync.WaitGroup
}

// New makes Orders.
func New(cfg Config) *Orders {
	return &Orders{cfg: cfg, log: cfg.Log, limited: limitlog.New(cfg.Log), sums: cfg.Shared.Sums(), results: make(chan func(), 2)}
}

// Results gives what is left to be done of an order. It is to be called in the goroutine of the orders.
func (o *Orders) Results() <-chan func() { return o.results }

// Begin forgets what a conversation that has ended left half done.
func (o *Orders) Begin() {
	o.push.Spoil()
	o.pushed = 0
}

// Close waits for what is being written.
func (o *Orders) Close() { o.running.Wait() }

// Obey does what a message orders; say answers it. If the conversation is to end, leave says why, and remedy what a person can do.
func (o *Orders) Obey(m conversation.Message, say func(message []byte) error) (leave, remedy string) {
	switch m.Kind {
	case proto.ManagerUpFile, proto.ManagerChunk, proto.ManagerCloseFile:
		o.pushPart(m)
	case proto.ManagerExecd:
		if o.may(toRespond) {
			o.respond(m.Rest)
		}
	case proto.ManagerSyscheckNow:
		if o.may(toCheckFiles) {
			o.checkFiles()
		}
	case proto.ManagerForceReconnect:
		if o.may(toReconnect) {
			return "the manager ordered it", "none needed"
		}
	case proto.ManagerRemoved:
		if o.may(toReconnect) {
			return "the manager removed this agent", conversation.RemovedRemedy
		}
	case proto.ManagerNewKey:
		o.takeKey(m.Rest)
	default:
		o.other(m, say)
	}
	return "", ""
}

// other takes a control message that is no order which we know.
func (o *Orders) other(m conversation.Message, say func(message []byte) error) {
	wazuh := o.cfg.Dialect == proto.Wazuh
	switch {
	case wazuh && m.Kind == proto.ManagerRequest:
		o.answer(m.Rest, say)
	case wazuh && m.Kind == proto.ManagerError:
		o.limited.Warn("the manager reports an error", "text", sample(m.Rest), "remedy", "look at the manager's log")
	default:
		o.limited.Warn("an unknown order was ignored", "order", sample(bytes.TrimPrefix(m.Text, []byte(proto.ControlPrefix))),
			"remedy", "none needed unless it was meant for another program on this host")
	}
}

// answer answers a request of a Wazuh manager. Over UDP each side confirms what it got.
func (o *Orders) answer(request []byte, say func(message []byte) error) {
	number, command, ok := proto.ParseRequest(request)
	if !ok || !o.may(toAnswer) {
		return
	}
	o.limited.Warn("a request was refused", "request", sample(command), "remedy", "none needed: ossecd does not answer requests of this kind")
	if say(proto.AppendReply(nil, number, "ack")) == nil {
		say(proto.AppendReply(nil, number, "err ossecd: not supported"))
	}
}

// sample is the beginning of foreign text, for the log.
func sample(p []byte) string { return string(p[:min(len(p), 200)]) }
