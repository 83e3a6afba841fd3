package sink

import (
	"sync"

	"ossecd/keys/limitlog"
	"ossecd/manager/journal"
)

// crowd has a sink that is so far behind that it must lose something lose events of those agents that send most, so that others lose none. The
// zero value is one in which nobody lost any.
type crowd struct {
	bytes      map[uint64]int // of what is at hand, by key
	rest, lost Batch

	mu     sync.Mutex
	losers map[uint64]*loser // by key
}

// loser is an agent that lost events in a sink.
type loser struct {
	agent *Agent
	lost  uint64 // and not told yet
	told  limitlog.Limit
}

// maxLosers is how many agents are told apart whose events a sink lost.
const maxLosers = 10_000

// thin parts some events from those of agents that have more than their share of them, in percent. What the manager itself reports is not lost.
func (c *crowd) thin(all Batch, share int) (rest, lost Batch) {
	if c.bytes == nil {
		c.bytes = make(map[uint64]int)
	}
	clear(c.bytes)
	for b := all; len(b) > 0; b = b[journal.Size(b):] {
		if key, _ := Origin(b); key != 0 {
			c.bytes[key] += journal.Size(b)
		}
	}
	most, over := len(all)/100*share, false
	for _, n := range c.bytes {
		over = over || n > most
	}
	if !over {
		return all, nil
	}
	c.rest, c.lost = c.rest[:0], c.lost[:0]
	for b := all; len(b) > 0; b = b[journal.Size(b):] {
		one := b[:journal.Size(b)]
		if key, _ := Origin(one); c.bytes[key] > most {
			c.lost = append(c.lost, one...)
		} else {
			c.rest = append(c.rest, one...)
		}
	}
	return c.rest, c.lost
}

// note notes that events are lost.
func (c *crowd) note(lost Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.losers == nil {
		c.losers = make(map[uint64]*loser)
	}
	for e := (Event{}); lost.Next(&e); {
		l := c.losers[e.Key]
		if l == nil && len(c.losers) >= maxLosers { // all further ones together
			e = Event{}
			l = c.losers[0]
		}
		if l == nil {
			l = &loser{agent: NewAgent(string(e.ID), string(e.Name), string(e.IP))}
			l.agent.Key = e.Key
			c.losers[e.Key] = l
		}
		l.lost++
	}
}

// take gives the losses that are due to be told.
func (c *crowd) take(due func(*limitlog.Limit) bool, tell func(*Agent, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.losers {
		if l.lost > 0 && due(&l.told) {
			tell(l.agent, l.lost)
			l.lost = 0
		}
	}
}
