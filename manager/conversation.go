package manager

import "ossecd/proto"

// converse has what we say to an agent bear the name of a conversation from now on, where its keepalive offers one, and none where not. a.mu
// is held.
func (m *manager) converse(a *agent, k *proto.Keepalive) {
	a.talk = ""
	if a.ours && k.Nonce != "" {
		a.talk = proto.ConversationName(k.Nonce, m.run)
	}
}
