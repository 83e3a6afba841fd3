// Package sink hands the manager's events on: to any number of sinks at once, each with a bounded queue and a goroutine of
// its own, so that a slow one delays neither the receivers nor the others.
//
//	receiver ── Lot of records ── Hub ──┬── queue ── Sink: a file, standard output
//	                                    └── queue ── Sink: a datagram socket, a network
//
// A receiver makes one compact record of an event, whatever becomes of it; queues hold records, and each sink makes its
// own form of them in its own goroutine. For each sink, received = delivered + pending + lost, at any time.
package sink
