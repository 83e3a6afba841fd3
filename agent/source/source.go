// Package source has what the agent's sources have in common. Each kind of source is a package below this one. The rest of the
// agent knows it only as a [Source].
package source

import "context"

// Event is one record on its way to the manager (docs/protocol.md, "Events").
type Event struct {
	Queue    byte   // '1' for a log line; see docs/protocol.md for the others
	Location string // a file path, a command, …; the channel replaces or escapes what the dialect forbids
	Message  []byte // read only until Emit returns; the source may use the bytes again afterwards
}

// Output is where a source puts its events. It is safe for use by many sources at once.
type Output interface {
	// Emit hands over a batch. It returns once the events are in the spool, in their order, and blocks while that is
	// full; without a spool it returns once they were sent, and blocks while the agent is offline. On an error (only that
	// of a context that ended) the first n events were taken and the others were not. A source counts as delivered, in
	// its saved position, what Emit reports as taken.
	Emit(ctx context.Context, batch []Event) (n int, err error)

	// Idle says that all there was to read has been emitted. It may be called as often as that is so; the
	// call is cheap.
	Idle()
}

// Backlog is what an Output with a spool tells, too, so that a source that reads several things, and can wait, is fair among
// them. Its methods are as those of Output.
type Backlog interface {
	// Backlog gives the numbers of the first event that is not delivered and of the next that is taken, and how many bytes of
	// the source should stand between them at most before what says much has to wait; 0 for no bound.
	Backlog() (delivered, next uint64, most int64)
}

// Source reads records somewhere and emits them.
type Source interface {
	// Run reads until ctx ends, saves its position, and returns once all its goroutines have ended. What
	// one file or one command does wrong is logged and tried again; an error is returned only where the
	// source as a whole cannot work.
	Run(ctx context.Context, out Output) error
}

// Fatal marks an error of a source with which the agent as a whole has to end.
type Fatal struct{ Err error }

func (f Fatal) Error() string { return f.Err.Error() }

func (f Fatal) Unwrap() error { return f.Err }

// Room is the largest message in bytes that fits an event of this location, where the channel takes max bytes of
// "QUEUE:LOCATION:MESSAGE". A channel that escapes a location makes each of the two characters one longer.
func Room(max int, location string) int {
	n := max - len("1::") - len(location)
	for i := range len(location) {
		if location[i] == ':' || location[i] == '|' {
			n--
		}
	}
	return n
}
