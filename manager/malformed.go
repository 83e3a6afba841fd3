package manager

import (
	"net/netip"
	"slices"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// spentCounts are the counts of an agent's last authentic messages that were no events. Each of these is refused as malformed once,
// and then as repeated.
//
// They are kept beside the window, and show no life: what the manager itself pushed opens under the agent's key, too, and is
// no event either. Sent back by somebody on the way, it must neither make the agent's own counts look old nor keep
// an agent that is gone looking alive (docs/protocol.md, "What comes back to its sender is refused").
type spentCounts struct {
	counts [16]uint64 // 0 for none
	next   uint8
}

func (s *spentCounts) has(v uint64) bool { return v != 0 && slices.Contains(s.counts[:], v) }

func (s *spentCounts) add(v uint64) {
	s.counts[s.next] = v
	s.next = (s.next + 1) % uint8(len(s.counts))
}

// noEvent refuses an authentic message that is neither an event nor a control message. a.mu is held.
func (r *receiver) noEvent(a *agent, slot *keys.Slot, message *proto.Message, from netip.AddrPort, now time.Time) {
	v := message.Counter.Value()
	why := badEvent
	switch slot.Judge(v) {
	case proto.Repeated:
		why = repeatedCount
	case proto.TooOld:
		why = oldCount
	default:
		if a.faulty().spent.has(v) {
			why = repeatedCount
		} else {
			a.faulty().spent.add(v)
		}
	}
	r.m.refusals.authenticated(why, a, from, now)
}
