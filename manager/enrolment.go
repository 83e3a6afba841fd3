package manager

import (
	"time"

	"ossecd/keys"
	"ossecd/manager/enroll"
)

// openEnrolment opens the port at which agents get keys, if that is asked for.
func (m *manager) openEnrolment() (services []service, err error) {
	cfg := m.cfg.enrolment()
	if cfg.Listen == "" {
		return nil, nil
	}
	cfg.Silence, cfg.TakeUp = m.silence, m.takeUpNow
	if m.enrolment, err = enroll.Listen(cfg, m.log); err != nil {
		return nil, err
	}
	return []service{{m.enrolment.Run, m.enrolment.Close}}, nil
}

// takeUpNow takes up changes of the keys file, and returns once they are in force.
func (m *manager) takeUpNow() {
	m.store.TakeUp(func(*keys.Set) {})
	m.takeUpKeys()
}

// silence is how long an agent has been away. An agent that never spoke is away since we know it, or since our start. It
// is 0 for one that is there, or whose key we do not have.
func (m *manager) silence(id string) time.Duration {
	a := m.roster.Load().byID[id]
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.life.state != unseen {
		return 0
	}
	since := a.life.lastSeen
	if since.IsZero() {
		since = a.slot.LastSeen()
	}
	if since.IsZero() {
		since = time.Unix(a.since, 0)
	}
	return max(0, time.Since(since))
}
