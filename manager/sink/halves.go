package sink

import "context"

// InHalves gives a sink n events in two batches of half of them each, since it cannot have them at once: so one that it refuses costs no
// other.
func InHalves(ctx context.Context, to Sink, events Batch, n int) (Result, error) {
	second := events
	var e Event
	for range n / 2 {
		second.Next(&e)
	}
	r, err := to.Write(ctx, events[:len(events)-len(second)])
	if err != nil {
		return r, err
	}
	more, err := to.Write(ctx, second)
	return Result{Done: r.Done + more.Done, Refused: r.Refused + more.Refused}, err
}
