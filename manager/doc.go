// Package manager is the receiving end of the channel: it lets agents in, judges and acknowledges what they
// send, and hands their events on.
//
//	socket ── receiver ── roster: which agent ── open ── count ──┬── control: ack, return address, liveness
//	             │                                               └── event: record ── package sink: files and others
//	             └── refusals: counted by reason, logged once a minute
//
// Each socket has one receiver, a goroutine that takes a datagram all the way. Nothing of an agent's state
// changes before its message was found authentic and fresh. docs/decisions has the reasons.
package manager
