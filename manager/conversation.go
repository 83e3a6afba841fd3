package manager

import "ossecd/proto"

// converse has what we say to an agent bear the name of a conversation from now on, where its keepalive offers one, and none where not. a.mu
// is held.
func (m *manager) converse(a *agent, k *proto.Keepalive) {
	a.talk = ""
	if a.ours && k.Nonce != "" {
		a.talk = proto.ConversationName(k.Nonce, m.run)
	}
	a.slot.SetConverses(a.talk != "")
}

// unnameable says that the agent takes part in a conversation whose name we do not know, since it began before we started: until its next
// keepalive it refuses all that we could say. a.mu is held.
func (a *agent) unnameable() bool { return a.talk == "" && a.slot.Converses() }
