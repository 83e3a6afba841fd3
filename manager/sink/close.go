package sink

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnwritten says that events were lost at a stop.
var ErrUnwritten = errors.New("events were not written")

// close takes no more events and waits until all that came before are written, or until deadline is closed; then it ends
// run's context. What is not written is counted in the error. A write that hangs leaves the goroutine of run behind.
func (q *eventQueue) close(deadline <-chan struct{}, within time.Duration) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	close(q.closing)
	q.nudge()
	if q.disk != nil {
		q.endSpill(deadline, within/2)
	}
	select {
	case <-q.ended:
	case <-deadline:
	}
	q.stop()
	var err error
	if q.endsSoon() {
		err = q.sink.Close()
	}
	if q.disk != nil {
		err = errors.Join(err, q.disk.Close())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := uint64(0)
	if q.disk != nil && q.backlogged() {
		from, to := q.disk.Bounds()
		kept = min(q.stored-q.done, to-from) // the files may have been removed
		q.log.Info("events wait on the disk for the next start", "events", q.name, "count", kept)
	}
	if n := q.counts.Pending - kept + q.lost; n > 0 {
		return errors.Join(err, fmt.Errorf("%d %w to %s within %v; check what reads them", n, ErrUnwritten, q.name, within))
	}
	return err
}

// endsSoon says whether run has ended, or does since its context has.
func (q *eventQueue) endsSoon() bool {
	select {
	case <-q.ended:
		return true
	case <-time.After(endWithin):
		return false
	}
}
