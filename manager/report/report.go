// Package report makes events, as sinks have them, of what is found out about agents.
package report

import (
	"fmt"

	"ossecd/manager/fleet"
	"ossecd/manager/sink"
)

// Events are where events go.
type Events interface {
	Put(l *sink.Lot, more bool) (end uint64)
}

// To gives what the fleet tells to events.
func To(events Events) func(fleet.Event) {
	return func(e fleet.Event) {
		var l sink.Lot
		var about, payer *sink.Agent
		if e.Agent != nil {
			about = e.Agent.Source
		}
		if e.ByItself {
			payer = about // so that it fills its own share alone
		}
		l.Report(about, payer, e.At, text(&e), sink.Report{Action: actions[e.Kind], Number: uint64(e.Count), Details: string(details(&e))})
		events.Put(&l, false)
	}
}

var actions = [...]string{
	fleet.Connected: sink.Connected, fleet.Disconnected: sink.Disconnected, fleet.StillDisconnected: sink.Still,
	fleet.ManyDisconnected: sink.ManyGone, fleet.ManyStill: sink.ManyStill, fleet.Cloned: sink.Cloned,
}

// text is what stands where an agent's event has its message; stock rules read these.
func text(e *fleet.Event) string {
	switch e.Kind {
	case fleet.ManyDisconnected:
		return fmt.Sprintf("ossecd: %d of %d agents disconnected at about the same time.", e.Count, e.Of)
	case fleet.ManyStill:
		return fmt.Sprintf("ossecd: %d agents are still disconnected.", e.Count)
	}
	who := fmt.Sprintf("'%s-%s'", e.Agent.Key.Name, e.Agent.Key.Address)
	switch e.Kind {
	case fleet.Connected:
		return "ossec: Agent connected: " + who + "."
	case fleet.Disconnected:
		return "ossec: Agent disconnected: " + who + "."
	case fleet.StillDisconnected:
		return "ossec: Agent still disconnected: " + who + "."
	default:
		return fmt.Sprintf("ossec: Agent key used by two hosts: %s (%s and %s).", who, e.Source, e.Other)
	}
}

// details are the members of the JSON object that tells the rest.
func details(e *fleet.Event) (b []byte) {
	if e.Kind == fleet.ManyDisconnected {
		b = sink.Member(b, "of", e.Of)
		b = sink.Member(b, "back", e.Back)
		b = sink.Member(b, "first", e.First)
		b = sink.Member(b, "last", e.Last)
	}
	if !e.LastSeen.IsZero() {
		b = sink.Member(b, "last_seen", e.LastSeen)
	}
	if e.Source.IsValid() {
		b = sink.Member(b, "source", e.Source.String())
	}
	if e.Other.IsValid() {
		b = sink.Member(b, "other", e.Other.String())
	}
	if e.Interval > 0 {
		b = sink.Member(b, "interval", e.Interval.Seconds())
	}
	if e.Reason != "" {
		b = sink.Member(b, "reason", e.Reason)
	}
	if e.Kind == fleet.StillDisconnected || e.Kind == fleet.Connected && !e.LastSeen.IsZero() {
		b = sink.Member(b, "outage", e.Outage.Seconds())
	}
	if e.Untold > 0 {
		b = sink.Member(b, "untold", e.Untold)
	}
	return b
}
