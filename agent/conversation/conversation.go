// Package conversation says what a conversation with a manager is, however its bytes travel: the room of links (which manager, when) and
// the rooms of transports (how) meet here.
package conversation

import (
	"context"
	"errors"
	"time"

	"ossecd/proto"
)

// Conversation is an exchange with one manager. It takes events from the outbox of its link, and says there which of them have arrived.
// Its methods are for the goroutine of the link.
type Conversation interface {
	// Open begins to listen; ctx is that of the agent, and its end bounds what is written from then on. Of a tentative conversation
	// the link wants to know no more than whether the manager is there: what fails in it is not logged.
	Open(ctx context.Context, tentative bool)
	// Inbox is where messages of the manager are put for Hear.
	Inbox() <-chan Message
	// Hear takes a message, and says what it was.
	Hear(now time.Time, m Message) Heard
	// Hello asks for the first answer.
	Hello(now time.Time)
	// Begin goes over to sending events, once Hear said Accepted.
	Begin(now time.Time)

	// Send sends some events of the outbox, and says whether it may send more. Ready says whether it has any that it may send.
	Ready() bool
	Send() (more bool)
	// Keep does what is due. With last there will be no more events, and the manager is asked about those there were. An error
	// ends the conversation.
	Keep(now time.Time, last bool) error
	// Due is when Keep has something to do.
	Due() time.Time
	// Answering says whether the manager answers as it should.
	Answering() bool
	// AllArrived says whether all that was sent is known to have arrived.
	AllArrived() bool

	// Say sends a message that is no event.
	Say(message []byte) error
	// Leave says the last words, and waits a moment for the answer to what was said.
	Leave()
	// Close ends the conversation. It may be called before Open.
	Close()
	// Addr is the manager's address, for the log.
	Addr() string
}

// Dialer makes conversations.
type Dialer interface {
	// Dial makes one with a manager, by its place in the link's list; nobody need be there. It is called in a goroutine of its own.
	// pass counts how often the whole list was tried in vain.
	Dial(ctx context.Context, manager, pass int) (Conversation, error)
}

// Message is what a manager said: authentic, and not said before. With another Sign than Said it says nothing else, but see Closed.
type Message struct {
	Sign  Sign
	Kind  proto.FromManager
	Text  []byte // the whole message, without the name of the conversation that it belongs to
	Rest  []byte // of Text, what follows the words that say the kind
	Count uint64 // rises from message to message; the manager counts for all its agents, so there are gaps
}

// Sign is what came from the manager's address.
type Sign uint8

// The signs.
const (
	Said        Sign = iota // a message
	NobodyThere             // the system reports that nobody listens there
	OldAck                  // an authentic acknowledgement with an old count
	UnnamedAck              // an authentic and fresh acknowledgement under a name that this conversation does not have
	Closed                  // nothing can be said or heard any more; Text says why
)

// Heard is what a message was.
type Heard uint8

// What a message was. All but Nothing and Ended show that the manager is there.
const (
	Nothing  Heard = iota
	Known          // what the conversation deals with itself
	Accepted       // the first answer
	Order          // for the link to have obeyed
	Replaced       // another program has taken the manager's place
	Ended          // the conversation has ended, for the reason in its Text
)

// ErrHostSendsNothing ends a conversation: the host may have moved to another network, where the old source address leads nowhere.
var ErrHostSendsNothing = errors.New("this host takes no datagrams")

// RemovedRemedy says what to do about a manager that removed this agent.
const RemovedRemedy = "to use this host again, give it a new key: remove the keys file, enrol or import a key, and restart the agent"
