package fleet

import (
	"sync"
	"time"
)

// An agent can come and go as often as it likes, and what somebody is called for takes its time for each report. So changesAtOnce of an
// agent's changes are reported as they come, and one more for every changesEvery; the others are summed up in the next that may be told.
const (
	changesAtOnce = 10
	changesEvery  = time.Minute
)

// changeLimit is what an agent may still report of its coming and going; the agent's mu guards it.
type changeLimit struct {
	full   time.Time // when all changesAtOnce may be told again
	untold int       // changes that were not told
	last   *Event    // the last of these
}

// may says whether a change may be told, and if so counts it.
func (c *changeLimit) may(now time.Time) bool {
	from := c.full
	if wait := from.Sub(now); wait < 0 || wait > changesAtOnce*changesEvery { // more: the clock was set back
		from = now
	}
	if from.Sub(now) > (changesAtOnce-1)*changesEvery {
		return false
	}
	c.full = from.Add(changesEvery)
	return true
}

// heldChanges are the agents of whose last change nothing was told. Its mu is taken after an agent's.
type heldChanges struct {
	mu     sync.Mutex
	agents map[*Agent]struct{}
}

func (h *heldChanges) add(a *Agent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agents == nil {
		h.agents = make(map[*Agent]struct{})
	}
	h.agents[a] = struct{}{}
}

func (h *heldChanges) remove(a *Agent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.agents, a)
}

func (h *heldChanges) all() (all []*Agent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for a := range h.agents {
		all = append(all, a)
	}
	return all
}
