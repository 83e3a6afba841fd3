// Package conversation says what the agent's rooms have in common about an exchange with a manager.
package conversation

import "ossecd/proto"

// Message is what a manager said: authentic, and not said before. With another Sign than Said it says nothing else.
type Message struct {
	Sign  Sign
	Kind  proto.FromManager
	Text  []byte // the whole message, without the name of the talk that it belongs to
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
	UnnamedAck              // an authentic and fresh acknowledgement without the name that the manager gives its messages
)
