package manager

import "ossecd/proto"

// converse has what we say to an agent bear the name of a conversation from now on, where its keepalive offers one, and none where not. a.mu
// is held.
func (m *manager) converse(a *agent, k *proto.Keepalive) {
	a.talk = ""
	if a.ours {
		a.talk = m.talkWith(k)
	}
	a.slot.SetConverses(a.talk != "")
}

// unnameable says that the agent takes part in a conversation whose name we do not know, since it began before we started: until its next
// keepalive it refuses all that we could say. a.mu is held.
func (a *agent) unnameable() bool { return a.talk == "" && a.slot.Converses() }

// talkWith is the name of the conversation that a keepalive offers; empty where it offers none.
func (m *manager) talkWith(k *proto.Keepalive) string {
	if k.Nonce == "" {
		return ""
	}
	return proto.ConversationName(k.Nonce, m.run)
}
