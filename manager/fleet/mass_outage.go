package fleet

import (
	"context"
	"sync"
	"time"
)

// A mass outage is many agents that fall silent at about the same time: a network or a site that is down, and not so many hosts. It begins
// when more than manyAgents, which are also more than one in manyOf of those that were there, were lost within massWithin. That is half the
// stock keepalive interval: agents that say nothing else are found silent over the whole of it. It has ended, and is told of once, when
// none was lost for massQuiet, or massMost after it began.
const (
	manyAgents = 10
	manyOf     = 10
	massWithin = 5 * time.Minute
	massQuiet  = time.Minute
	massMost   = 10 * time.Minute

	// massPause is how often losses are counted up at most: those who are there must be counted, too.
	massPause = time.Second

	// maxNamed is how many lost agents the log names within massWithin; each has its event all the same.
	maxNamed = 100
)

// massOutage tells of mass outages.
type massOutage struct {
	present func() int                       // how many agents are there, or awaited
	tell    func(map[*Agent]loss, time.Time) // of one that has ended
	kick    chan struct{}
	mu      sync.Mutex
	lost    map[*Agent]loss
	on      time.Time // when the present one began; zero for none
	last    time.Time // when the last agent was lost
}

type loss struct{ at, heard time.Time }

func newMassOutage(present func() int, tell func(map[*Agent]loss, time.Time)) *massOutage {
	return &massOutage{present: present, tell: tell, lost: make(map[*Agent]loss), kick: make(chan struct{}, 1)}
}

// note takes that an agent was lost, and says whether it is one of a mass outage, or of too many to be named in the log. It may be called with the agent's mu held.
func (m *massOutage) note(a *Agent, now, heard time.Time) (one bool) {
	m.mu.Lock()
	m.lost[a], m.last = loss{now, heard}, now
	one = !m.on.IsZero() || len(m.lost) > maxNamed
	m.mu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
	return one
}

// passing says that an agent is one of those that the present mass outage took.
func (m *massOutage) passing(a *Agent) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, one := m.lost[a]
	return one && !m.on.IsZero()
}

// recent forgets losses of long ago unless there is a mass outage, and says how many are left. mu is held.
func (m *massOutage) recent(now time.Time) int {
	for a, l := range m.lost {
		if m.on.IsZero() && now.Sub(l.at) > massWithin {
			delete(m.lost, a)
		}
	}
	return len(m.lost)
}

// run looks for mass outages until ctx ends.
func (m *massOutage) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.kick:
		case <-timer.C:
		}
		timer.Reset(m.look(time.Now()))
		select { // others come with it
		case <-ctx.Done():
			return
		case <-time.After(massPause):
		}
	}
}

// look begins a mass outage, or ends one, and says when to look again though nobody was lost.
func (m *massOutage) look(now time.Time) time.Duration {
	m.mu.Lock()
	n, on := m.recent(now), m.on
	m.mu.Unlock()
	if on.IsZero() {
		if n <= manyAgents || n*manyOf <= m.present()+n {
			return time.Hour
		}
		m.mu.Lock()
		m.on, on = now, now
		m.mu.Unlock()
	}
	m.mu.Lock()
	end := m.last.Add(massQuiet)
	if most := on.Add(massMost); most.Before(end) {
		end = most
	}
	if now.Before(end) {
		m.mu.Unlock()
		return end.Sub(now)
	}
	lost := m.lost
	m.lost, m.on = make(map[*Agent]loss), time.Time{}
	m.mu.Unlock()
	m.tell(lost, now)
	return time.Hour
}
