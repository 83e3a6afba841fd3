package manager

import (
	"context"
	"fmt"
	"time"

	"ossecd/manager/sink"
)

// outage is an agent's time without a word, from its last one on; the agent's mu guards it.
type outage struct {
	since  time.Time // when it was last heard; zero where it is there or was never heard
	remind time.Time // when its absence is told again; zero for never
}

// seconds is how long it has lasted.
func (o *outage) seconds(now time.Time) float64 { return max(0, now.Sub(o.since).Seconds()) }

// length is how long it has lasted, for the log.
func (o *outage) length(now time.Time) time.Duration {
	return now.Sub(o.since).Round(time.Second)
}

// heard is when the agent last sent something authentic and fresh, in this run or an earlier one; zero if never. a.mu is held.
func (a *agent) heard() time.Time {
	if a.life.state == awaited && a.life.lastSeen.Equal(a.life.awaitedSince) || a.life.lastSeen.IsZero() {
		return a.slot.LastSeen()
	}
	return a.life.lastSeen
}

// about are the details of a report about an agent that is away. a.mu is held.
func (a *agent) about(heard time.Time) []byte {
	var b []byte
	if !heard.IsZero() {
		b = sink.Member(b, "last_seen", heard)
	}
	if a.back != nil {
		b = sink.Member(b, "source", a.back.To.String())
	}
	if i := a.life.interval(); i > 0 {
		b = sink.Member(b, "interval", i.Seconds())
	}
	return b
}

// remindEvery is how often it is looked for agents of which somebody is to be reminded.
const remindEvery = time.Second

// reminders tells again of agents that are away, until ctx ends: of each, or of all in one where more than manyAgents are due at once.
func (m *manager) reminders(ctx context.Context) {
	if m.cfg.RemindAfter == 0 {
		return
	}
	every(ctx, max(remindEvery, m.cfg.RemindAfter/remindSteps), func() { m.remind(time.Now()) })
}

// remindSteps is how many times in a reminder's interval it is looked; so those due at about the same time are told together.
const remindSteps = 60

func (m *manager) remind(now time.Time) {
	var due []*agent
	for _, a := range m.roster.Load().byID {
		a.mu.Lock()
		if o := &a.life.outage; a.life.state == unseen && !o.remind.IsZero() && !now.Before(o.remind) {
			o.remind = now.Add(m.cfg.RemindAfter)
			due = append(due, a)
		}
		a.mu.Unlock()
	}
	if len(due) > manyAgents {
		m.reportAll(now, fmt.Sprintf("ossecd: %d agents are still disconnected.", len(due)), sink.Report{Action: sink.ManyStill, Number: uint64(len(due))})
		return
	}
	for _, a := range due {
		a.mu.Lock()
		if o := &a.life.outage; a.life.state == unseen {
			details := sink.Member(a.about(o.since), "outage", o.seconds(now))
			m.report(a, now, fmt.Sprintf("ossec: Agent still disconnected: '%s-%s'.", a.key.Name, a.key.Address), sink.Report{Action: sink.Still, Details: string(details)}, nil)
		}
		a.mu.Unlock()
	}
}

// reportAll emits an event about no single agent.
func (m *manager) reportAll(now time.Time, text string, r sink.Report) {
	var l sink.Lot
	l.Report(nil, nil, now, text, r)
	m.sinks.Put(&l, false)
}
