package fleet

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// Agent is one agent. The key and what is made of it never change: another key makes another Agent.
type Agent struct {
	Credential
	Source *sink.Agent // as the records of its events know it

	since        int64 // when we took up the key; Unix time, seconds
	conversation Conversation
	next         atomic.Pointer[Credential] // a next key that is ordered, which is good, too
	queued       int                        // its place in the silence watch's heap, from 1 on; guarded by that

	// mu guards what is below. It is taken after the lock of a conversation, and before those of watch, massOutage, heldChanges and
	// outbox. Nothing is reported, logged or sent while it is held, and it never leaves this package.
	mu       sync.Mutex
	presence presence
	changes  changeLimit
	logs     struct{ came, left, flaps limitlog.Limit } // when each may be logged again
}

// Credential is a key and what is made of it.
type Credential struct {
	Key    keys.Key
	Cipher *proto.Cipher
	Slot   *keys.Slot // its received counter, which outlives this process
	Before uint64     // the highest count that earlier runs took under it
}

// Conversation is how an agent is spoken to; the stock channel over UDP is one. Its methods may be called by any goroutine.
type Conversation interface {
	// Send sends a message to where the agent was last heard. No lock of the fleet may be held.
	Send(message []byte) error
	// Addr is where it was last heard since we run; invalid where it was not. It takes no lock.
	Addr() netip.AddrPort
	// Traits is what is known of the program at the other end. It takes no lock.
	Traits() Traits
	// Account is what came of the agent's messages since the manager started.
	Account() Account
	// Confirm says whether the address where the agent was last heard is known to hear us. If not, the agent is asked to show it.
	Confirm(now time.Time) Confirmation
}

// Confirmation is whether an address is known to hear us.
type Confirmation uint8

// The kinds.
const (
	Unable    Confirmation = iota // its program cannot show it
	Asked                         // it was asked, and will speak once more when it has shown it
	Confirmed                     // it has shown it, or the agent's key is for no other address
)

// Traits is what an agent's program has shown of itself.
type Traits struct {
	Method    proto.Method  // the cipher of its last valid message, which answers use
	Dialect   proto.Dialect // as last shown
	IsOssecd  bool          // it is an ossecd
	CanRotate bool          // it can take up a new key
	ReadsJSON bool          // it reads active responses as JSON alone
	SaysWord  bool          // it can show that its address hears us, by repeating a word
}

// Account is what came of an agent's messages since the manager started.
type Account struct {
	Program string    // name and version, by its last keepalive; empty before that
	Events  uint64    // that were taken
	Missing uint64    // messages that did not come, by the gaps in their counts
	Refused []Refused // by reason
}

// Refused is messages of an agent that were refused for one reason.
type Refused struct {
	Reason, Remedy string
	Count          uint64
	Claimed        bool           // they only claimed to come from the agent, and proved nothing
	Source         netip.AddrPort // Claimed: who sent the last
}

// Conversation is how the agent is spoken to.
func (a *Agent) Conversation() Conversation { return a.conversation }

// Next is the key that is ordered to take the place of the agent's own, which is good, too; nil for none.
func (a *Agent) Next() *Credential { return a.next.Load() }

// BecomesBy says that a key is the next key of the agent.
func (a *Agent) BecomesBy(k keys.Key) bool {
	next := a.Next()
	return next != nil && next.Key == k
}

// Anywhere says whether the agent's key lets it speak from more than one address.
func (a *Agent) Anywhere() bool {
	_, single := a.Key.Address.Single()
	return !single
}

// Present says whether the agent is there.
func (a *Agent) Present() bool { return a.state() == connected }

// Disconnected says that the agent is away. One that was there before we started is not yet.
func (a *Agent) Disconnected() bool { return a.state() == disconnected }

func (a *Agent) state() state {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.presence.state
}

// address is where the agent was last heard, for people; empty where it was not.
func (a *Agent) address() string {
	if at := a.conversation.Addr(); at.IsValid() {
		return at.String()
	}
	return ""
}

// Status is how an agent is, for people.
type Status struct {
	State    string    // "connected", "disconnected", or "never" of one that was never heard
	Starting bool      // connected, and without a keepalive since its startup
	Awaited  bool      // disconnected: it was connected before the manager restarted, and has still time to come back
	LastSeen time.Time // zero for never
	Interval time.Duration
}

// Status is how the agent is.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Status{State: "never", LastSeen: a.heard(), Interval: a.presence.interval(), Starting: a.presence.starting(), Awaited: a.presence.state == awaited}
	switch {
	case a.presence.state == connected:
		s.State = "connected"
	case s.Awaited || !s.LastSeen.IsZero():
		s.State = "disconnected"
	}
	return s
}
