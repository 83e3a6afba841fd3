package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/journal"
)

// Sink is where events go. Its methods are called by one goroutine at a time.
type Sink interface {
	// Write delivers the events of a batch in their order. It returns an error unless it is done with all of them: then
	// the rest are given again after a while. It returns soon after ctx ends.
	Write(ctx context.Context, events Batch) (Result, error)
	// Close ends it. What was written is out.
	Close() error
}

// Result is how far a Write came.
type Result struct {
	Done    int // events, from the first on, that are not to be given again
	Refused int // those of them that will never be taken
}

// Reopener is a sink that can be told to open its files anew, since another program has renamed them.
type Reopener interface{ Reopen() error }

// ErrGone says that what read the events is gone for good, and no other can take its place.
var ErrGone = errors.New("what read them is gone")

// ErrUnwritten says that a sink did not end in time.
var ErrUnwritten = errors.New("events were not written")

const (
	// writeSize is about how much a sink is given at once, unless it wants more.
	writeSize = 64 << 10

	// The back-off: what fails is tried again after retryFirst, and twice as long each time up to retryMost.
	retryFirst = 200 * time.Millisecond
	retryMost  = 3 * time.Second

	// endWithin is what a sink may take to end once its time is up.
	endWithin = 50 * time.Millisecond
)

// delivery gives what a reader of the journal reads to a sink, in a goroutine of its own: so a sink that is slow or away holds up nothing
// else. What fails is tried again; what waits meanwhile waits in the journal.
type delivery struct {
	Spec
	from        *journal.Reader
	sink        Sink // set before run
	log         *slog.Logger
	failureTold limitlog.Limit
	passed      Batch              // what the filter lets pass of what is at hand
	stop        context.CancelFunc // ends run's context
	reopen      chan struct{}      // has a token where the sink is to open its files anew
	closing     chan struct{}      // closed by close
	ended       chan struct{}      // closed when run ends
	gone        chan<- error       // is sent why run ended early, where the sink is gone for good
	isGone      bool               // the same; may be read once run has ended
	told        journal.Counts     // by logCounts
	early       earlier            // what an earlier version left
	crowd       crowd
	share       int // how much of what is at hand one agent may have, in percent, when the sink is far behind

	lossesTold limitlog.Limit // of the goroutine that tells
}

// run hands events to the sink until close was called and all is written, or it fails then, or ctx ends.
func (d *delivery) run(ctx context.Context) {
	defer close(d.ended)
	if !d.deliverEarlier(ctx) {
		return
	}
	for {
		select {
		case <-d.reopen:
			d.reopenSink()
		default:
		}
		if records := Batch(d.from.Next()); len(records) > 0 {
			if !d.deliver(ctx, records) {
				return
			}
			continue
		}
		if d.isClosing() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-d.closing:
		case <-d.from.Wake():
		case <-d.reopen:
			d.reopenSink()
		}
	}
}

// deliver gives records to the sink, and has the journal know. It returns false where there is to be no more.
func (d *delivery) deliver(ctx context.Context, records Batch) bool {
	for len(records) > 0 {
		some, _, last := records.cut(d.Write)
		records = records[len(some):]
		passed, filtered := d.sieve(some)
		if filtered > 0 {
			d.from.Filtered(filtered)
		}
		if len(passed) > 0 { // what stands before is not looked at again, should the sink take nothing until the end
			d.from.Settle(journal.Number(passed), 0, 0)
		}
		var lost Batch
		if d.from.Squeezed() {
			passed, lost = d.crowd.thin(passed, d.share)
		}
		if !d.write(ctx, passed, func(last uint64, r Result) { d.from.Settle(last+1, r.Done-r.Refused, r.Refused) }) {
			return false
		}
		if filtered > 0 || len(lost) > 0 {
			d.crowd.note(lost)
			d.from.Settle(last+1, 0, lost.Len())
		}
	}
	return true
}

// sieve is those of some records that the filter lets pass, and how many it does not. They are put together anew where they are not all.
func (d *delivery) sieve(all Batch) (passed Batch, filtered int) {
	if d.Filter.empty() && !all.reports() {
		return all, 0
	}
	d.passed = d.passed[:0]
	var e Event
	for rest := all; len(rest) > 0; {
		one := rest[:journal.Size(rest)]
		if rest.Next(&e); d.Filter.passes(&e) {
			d.passed = append(d.passed, one...)
		} else {
			filtered++
		}
	}
	return d.passed, filtered
}

// write gives records to the sink; settle is told of those that it is done with, up to the one with the number last. What fails is tried again until ctx ends, and false returned then. A
// sink that is gone for good is not tried again.
func (d *delivery) write(ctx context.Context, records Batch, settle func(last uint64, r Result)) bool {
	retry := retryFirst
	for len(records) > 0 {
		some, n, last := records.cut(d.Write)
		closing := d.isClosing()
		r, err := d.sink.Write(ctx, some)
		if err == nil && r.Done != n {
			err = fmt.Errorf("%d of %d events were taken", r.Done, n)
		}
		if r.Done > 0 {
			if r.Done < n {
				some, last = records.first(r.Done)
			}
			settle(last, r)
			records, retry = records[len(some):], retryFirst
		}
		if err == nil {
			continue
		}
		if errors.Is(err, ErrGone) {
			d.isGone = true
			d.gone <- err
			return false
		}
		if ctx.Err() != nil || closing {
			return false // the rest waits for the next start
		}
		if d.failureTold.Due(time.Now()) {
			d.log.Error("events cannot be written; trying again", "events", d.Name, "err", err,
				"remedy", "free space on the disk, or get what reads the events running again")
		}
		if !d.pause(ctx, retry) {
			return false
		}
		retry = min(2*retry, retryMost)
	}
	return true
}

// pause waits before a further try; a stop cuts it short. It returns false when ctx has ended.
func (d *delivery) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-d.closing:
	case <-timer.C:
	}
	return true
}

func (d *delivery) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

func (d *delivery) reopenSink() {
	if s, ok := d.sink.(Reopener); ok {
		if err := s.Reopen(); err != nil {
			d.log.Error("a file of events could not be reopened", "events", d.Name, "err", err,
				"remedy", "let this user create files in the directory, and send SIGHUP again")
		}
	}
}

// counts are those of the journal, and of what an earlier version left.
func (d *delivery) counts() journal.Counts {
	c := d.from.Counts()
	d.early.count(&c)
	return c
}

func (d *delivery) logCounts() {
	if c := d.counts(); c != d.told {
		d.told = c
		d.log.Info("events handed on", "events", d.Name, "received", c.Received, "delivered", c.Delivered, "pending", c.Pending,
			"lost", c.Lost, "filtered", c.Filtered)
	}
}

// close waits until all that came before is written, or fails, or until deadline is closed; then it ends run's context. A write that hangs leaves the
// goroutine of run behind, and is an error.
func (d *delivery) close(deadline <-chan struct{}, within time.Duration) error {
	close(d.closing)
	late := false
	select {
	case <-d.ended:
	case <-deadline:
		late = true
	}
	d.stop()
	var err error
	if d.endsSoon() {
		err = d.sink.Close()
		d.from.Close()
	}
	d.early.close()
	n := d.counts().Pending
	switch {
	case n == 0:
	case late || d.isGone: // where it is late, run may not have ended, and isGone not be read
		return errors.Join(err, fmt.Errorf("%d %w to %s within %v, and wait in the journal; look at what reads them", n, ErrUnwritten, d.Name, within))
	default:
		d.log.Info("events wait in the journal for the next start", "events", d.Name, "count", n)
	}
	return err
}

// endsSoon says whether run has ended, or does since its context has.
func (d *delivery) endsSoon() bool {
	select {
	case <-d.ended:
		return true
	case <-time.After(endWithin):
		return false
	}
}
