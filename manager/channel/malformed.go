package channel

import (
	"ossecd/manager/fleet"
	"ossecd/proto"
)

// What the manager itself pushed opens under the agent's key, too, and is no event either. Sent back by somebody on the way, it must
// neither make the agent's own counts look old nor keep an agent that is gone looking alive (docs/protocol.md, "What comes back
// to its sender is refused").

// notTheAgents is why an authentic message that is neither an event nor a control message may be none of the agent's, so that nothing
// of it counts; 0 where it is the agent's.
func notTheAgents(c *fleet.Credential, m *proto.Message) reason {
	v := m.Counter.Value()
	switch {
	case m.Random == c.Cipher.ManagersRandom(m.Counter):
		return notAnAgents
	case v > c.Slot.Highest()+proto.WindowWidth: // so far ahead that it can be what a stock manager sent, whose messages have no mark
		return badEvent
	}
	return 0
}
