package fleet

import (
	"context"
	"time"
)

const (
	// remindEvery is how often it is looked for agents of which somebody is to be reminded.
	remindEvery = time.Second
	// remindSteps is how many times in a reminder's interval it is looked; so those due at about the same time are told together.
	remindSteps = 60
)

// reminders tell again of agents that are away: of each, or of all in one where more than manyAgents are due at once.
type reminders struct{ f *Fleet }

// run does so until ctx ends.
func (r *reminders) run(ctx context.Context) {
	if after := r.f.cfg.RemindAfter; after > 0 {
		every(ctx, max(remindEvery, after/remindSteps), func() { r.remind(time.Now()) })
	}
}

func (r *reminders) remind(now time.Time) {
	f := r.f
	var due []*Agent
	for _, a := range f.Roster().byID {
		a.mu.Lock()
		if o := &a.presence.outage; a.presence.state == disconnected && !o.remind.IsZero() && !now.Before(o.remind) {
			o.remind = now.Add(f.cfg.RemindAfter)
			due = append(due, a)
		}
		a.mu.Unlock()
	}
	if len(due) > manyAgents {
		f.cfg.Report(Event{Kind: ManyStill, At: now, Count: len(due)})
		return
	}
	for _, a := range due {
		a.mu.Lock()
		if o := &a.presence.outage; a.presence.state == disconnected {
			e := Event{Kind: StillDisconnected, At: now, Agent: a, LastSeen: o.since, Outage: o.length(now), Source: a.conversation.Addr(), Interval: a.presence.interval()}
			f.outbox.add(func() { f.cfg.Report(e) })
		}
		a.mu.Unlock()
	}
	f.outbox.deliver()
}
