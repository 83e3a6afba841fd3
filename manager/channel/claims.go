package channel

import (
	"net/netip"
	"sync"

	"ossecd/manager/fleet"
)

const maxClaims = 10_000 // agents about which claims are kept

// claims counts refused datagrams that claimed to come from an agent, and proved nothing. They help people to find out why an agent is
// silent; nothing is decided by them.
type claims struct {
	mu sync.Mutex
	by map[string]*claim // by the agent's ID
}

type claim struct {
	counts [authentic]uint32
	from   [authentic]netip.AddrPort // who sent the last
}

// note counts one. id is that of an agent that there is, or was.
func (c *claims) note(why reason, id []byte, from netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.by[string(id)]
	if one == nil {
		if len(c.by) >= maxClaims {
			return
		}
		if c.by == nil {
			c.by = make(map[string]*claim)
		}
		one = new(claim)
		c.by[string(id)] = one
	}
	if one.counts[why]+1 != 0 {
		one.counts[why]++
	}
	one.from[why] = from
}

// of is what was claimed about an agent.
func (c *claims) of(id string) (all []fleet.Refused) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.by[id]
	if one == nil {
		return nil
	}
	for why, n := range one.counts {
		if n > 0 {
			r := reason(why)
			all = append(all, fleet.Refused{Reason: r.String(), Remedy: reasons[r].remedy, Count: uint64(n), Claimed: true, Source: one.from[why]})
		}
	}
	return all
}
