package fleet

import (
	"context"
	"time"
)

// Heard takes that an agent sent something authentic and fresh. It speaks where that was a control message.
func (f *Fleet) Heard(a *Agent, now time.Time, speaks bool) {
	a.mu.Lock()
	a.presence.lastSeen = now
	a.mu.Unlock()
	if speaks {
		a.Slot.SetLastSeen(now)
	}
}

// Startup takes that an agent's program has started: another one may use the key from now on.
func (f *Fleet) Startup(a *Agent) {
	a.mu.Lock()
	a.presence.forgetInterval()
	a.mu.Unlock()
	a.Slot.SetInterval(0)
	for _, tell := range f.onStartup {
		tell(a)
	}
}

// Present takes that an agent is there: its control message was answered. r is what it said of itself with that, or nil.
func (f *Fleet) Present(a *Agent, now time.Time, r *Report) {
	a.mu.Lock()
	if r != nil {
		before := a.presence.interval()
		a.presence.noteKeepalive(r.Keepalive, now)
		if after := a.presence.interval(); after != before {
			a.Slot.SetInterval(after)
		}
	}
	came := a.presence.state != connected
	if came {
		f.cameBack(a, now)
	}
	f.watch.look(a)
	a.mu.Unlock()
	if came {
		f.outbox.deliver()
	}
	if r != nil {
		for _, tell := range f.onKeepalive {
			tell(a, r)
		}
	}
}

// cameBack reports an agent that is there from now on, and how long it was not where that is known. a.mu is held.
func (f *Fleet) cameBack(a *Agent, now time.Time) {
	a.presence.state = connected
	a.Slot.SetConnected(true)
	o := a.presence.outage
	a.presence.outage = outage{}
	e := Event{Kind: Connected, At: now, Agent: a, ByItself: true}
	if !o.since.IsZero() {
		e.LastSeen, e.Outage = o.since, o.length(now)
	}
	f.change(a, &e)
	if !a.logs.came.Due(now) || f.mass.passing(a) {
		return
	}
	f.outbox.add(func() {
		attrs := []any{"agent", a.Key.ID, "name", a.Key.Name, "source", a.address(), "method", a.conversation.Traits().Method.String()}
		if !o.since.IsZero() {
			attrs = append(attrs, "outage", now.Sub(o.since).Round(time.Second))
		}
		f.log.Info("agent connected", attrs...)
	})
}

// Goodbye takes that an agent leaves.
func (f *Fleet) Goodbye(a *Agent, now time.Time) {
	a.mu.Lock()
	f.leave(a, now, true, a.logs.left.Due(now))
	a.mu.Unlock()
	f.outbox.deliver()
}

// silent takes that an agent fell silent. a.mu is held.
func (f *Fleet) silent(a *Agent, now time.Time) { f.leave(a, now, false, true) }

// leave reports an agent that fell silent, or said goodbye. One whose key was removed or changed is let go of without a
// word: what took its place has a presence of its own. a.mu is held.
func (f *Fleet) leave(a *Agent, now time.Time, goodbye, tell bool) {
	if a.presence.state == disconnected {
		return
	}
	heard := a.heard()
	a.presence.state = disconnected
	if !f.Has(a) {
		return
	}
	a.Slot.SetConnected(false)
	a.Slot.SetLastSeen(heard)
	a.presence.outage = outage{since: heard}
	if f.cfg.RemindAfter > 0 {
		a.presence.outage.remind = now.Add(f.cfg.RemindAfter)
	}
	e := Event{Kind: Disconnected, At: now, Agent: a, ByItself: goodbye, LastSeen: heard, Reason: "goodbye"}
	e.Source, e.Interval = a.conversation.Addr(), a.presence.interval()
	remedy := "none needed if its agent was stopped or restarted on purpose"
	if !goodbye {
		e.Reason, remedy = "silent", "check that the host and its agent run, and that no firewall or NAT is in the way"
		tell = !f.mass.note(a, now, heard) && tell
	}
	f.change(a, &e)
	if tell {
		f.outbox.add(func() {
			f.log.Warn("agent disconnected", "agent", a.Key.ID, "name", a.Key.Name, "last_seen", heard.UTC().Format(time.RFC3339),
				"reason", e.Reason, "remedy", remedy)
		})
	}
}

// change reports that an agent came or went: now, or later with others. What the agent does not bring about itself is always told. a.mu is held.
func (f *Fleet) change(a *Agent, e *Event) {
	if !e.ByItself || a.changes.may(e.At) {
		f.tellChange(a, e)
		return
	}
	a.changes.untold++
	a.changes.last = e
	f.held.add(a)
	if a.logs.flaps.Due(e.At) {
		f.outbox.add(func() {
			f.log.Warn("an agent comes and goes: its reports are summed up", "agent", a.Key.ID, "name", a.Key.Name, "source", a.address(),
				"remedy", "find out whether its host restarts it again and again, or who else has its key")
		})
	}
}

func (f *Fleet) tellChange(a *Agent, e *Event) {
	if n := a.changes.untold; n > 0 {
		e.Untold = n
		a.changes.untold, a.changes.last = 0, nil
		f.held.remove(a)
	}
	f.outbox.add(func() { f.cfg.Report(*e) })
}

// sumUp tells until ctx ends how things stand with agents of whose last change nothing was told; at the end with all of them.
func (f *Fleet) sumUp(ctx context.Context) {
	every(ctx, time.Second, func() { f.tellHeld(time.Now(), false) })
	f.tellHeld(time.Now(), true)
}

func (f *Fleet) tellHeld(now time.Time, all bool) {
	for _, a := range f.held.all() {
		a.mu.Lock()
		switch {
		case !f.Has(a): // its key was removed or changed
			f.held.remove(a)
		case a.changes.untold > 0 && (all || a.changes.may(now)):
			e := a.changes.last
			e.At = now
			a.changes.last = nil
			a.changes.untold-- // what is told is the last of them
			f.held.remove(a)
			f.tellChange(a, e)
		}
		a.mu.Unlock()
	}
	f.outbox.deliver()
}
