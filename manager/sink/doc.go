// Package sink hands the manager's events on. Everything goes into one journal; each sink reads it at a place and in a goroutine of
// its own, so that a slow one delays neither the receivers nor the others.
//
//	receiver ── Lot of records ── journal ──┬── Reader ── delivery ── Sink: a file, standard output
//	                                        └── Reader ── delivery ── Sink: a socket, a network
//
// A receiver makes one compact record of an event, whatever becomes of it; the journal holds records, and each sink makes its
// own form of them in its own goroutine. For each sink, received = delivered + pending + lost, at any time.
package sink
