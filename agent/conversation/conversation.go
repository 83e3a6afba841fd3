// Package conversation says what the agent's rooms have in common about an exchange with a manager.
package conversation

import "ossecd/proto"

// Message is what a manager said: authentic, and not said before.
type Message struct {
	Kind  proto.FromManager
	Text  []byte // the whole message; nil where the system reports that nobody listens there
	Rest  []byte // of Text, what follows the words that say the kind
	Count uint64 // rises from message to message; the manager counts for all its agents, so there are gaps
}
