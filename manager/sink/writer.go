package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ossecd/keys/durable/queue"
)

// load is what the writer hands to the sink: records of one chunk, or some that it read from the disk.
type load struct {
	records   Batch
	stored    bool             // from the disk
	ends      []uint64         // of those: behind each record, the number of the next
	positions []queue.Position // of those: behind each record
}

// take gives the writer what is next, and reports lost events behind all that waits. stored says that what is next is on the
// disk.
func (q *eventQueue) take() (l load, stored, closed, reopen bool) {
	q.mu.Lock()
	q.reportLosses()
	told := q.told
	q.told = nil
	defer q.hub.tellLosses(q, told)
	defer q.mu.Unlock()
	if len(q.chunks) > 0 && q.chunks[0].first == q.done {
		c := q.chunks[0]
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
		q.unread -= len(c.b)
		q.hand, l.records = c, c.b
	}
	q.turn()
	reopen, q.reopen = q.reopen, false
	return l, q.hand == nil && q.backlogged(), q.closed, reopen
}

// reportLosses puts events about lost ones behind all others. mu is held.
func (q *eventQueue) reportLosses() {
	for _, a := range q.crowders {
		s := &a.stakes[q.number]
		q.counts.Received++
		q.hold(q.crowded(a, s.lost))
		if s.untold == 0 {
			q.untold = append(q.untold, a)
		}
		s.untold += s.lost
		if n := s.floods.ended(s.lost); n > 0 {
			q.log.Warn("events lost", "agent", cmp.Or(a.ID, a.called), "name", a.Name, "events", q.name, "count", n)
		}
		s.lost = 0
	}
	q.crowders = q.crowders[:0]
	q.tellCrowders(time.Now())
	if q.lost > 0 {
		q.report(fmt.Sprintf("ossecd: %d events lost: their reader was too slow.", q.lost), q.lost)
		if n := q.slow.ended(q.lost); n > 0 {
			q.log.Warn("events lost", "events", q.name, "count", n)
		}
		q.lost = 0
	}
	if q.damaged > 0 {
		q.report(fmt.Sprintf("ossecd: %d events lost: the disk could not be read.", q.damaged), q.damaged)
		q.damaged = 0
	}
}

// tellCrowders has the sinks that are for reports told of the agents that lost events of their own: of each at once, and then at most once
// per logEvery, summed up, since an agent can bring losses about as often as it likes. mu is held.
func (q *eventQueue) tellCrowders(now time.Time) {
	q.untold = slices.DeleteFunc(q.untold, func(a *Agent) bool {
		s := &a.stakes[q.number]
		if now.Before(s.nextTold) && !q.closed {
			return false
		}
		q.told = append(q.told, q.crowded(a, s.untold)...)
		s.nextTold, s.untold = now.Add(logEvery), 0
		return true
	})
}

// crowded is the report that an agent lost events of its own.
func (q *eventQueue) crowded(a *Agent, lost uint64) []byte {
	about, whose := a, "'"+a.Name+"-"+a.IP+"'"
	if a.ID == "" {
		about, whose = nil, a.called
	}
	return q.lossReport(about, fmt.Sprintf("ossecd: %d events of %s lost: it sent more than its share.", lost, whose), lost)
}

// report adds an event about lost ones, for which there is always room: mu is held.
func (q *eventQueue) report(text string, lost uint64) {
	r := q.lossReport(nil, text, lost)
	q.counts.Received++
	q.hold(r)
	q.told = append(q.told, r...)
}

func (q *eventQueue) lossReport(about *Agent, text string, lost uint64) []byte {
	r := appendReport(nil, about, time.Now().UnixNano(), text, Report{Lost, lost, string(Member(nil, "sink", q.name))})
	stamp(r, q.hub.serial.Add(1))
	return r
}

// run hands events to the sink until close was called and all is written, or ctx ends.
func (q *eventQueue) run(ctx context.Context) {
	defer close(q.ended)
	for {
		l, stored, closed, reopen := q.take()
		if reopen {
			q.reopenSink()
		}
		switch {
		case stored:
			l = q.readStored()
		case q.disk != nil:
			q.skipStored() // what was put there while it was being delivered
		}
		if !q.deliver(ctx, l) {
			return
		}
		q.putDown()
		if stored || len(l.records) > 0 {
			continue
		}
		if closed {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
	}
}

// putDown ends the writer's hold on a chunk.
func (q *eventQueue) putDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := q.hand; c != nil && q.disk == nil && (cap(c.b) <= 1<<20 || len(c.b) >= cap(c.b)/8) { // else a burst is over: give the memory back
		if len(q.spares) < 2 {
			q.spares = append(q.spares, c.b[:0])
		}
	}
	q.hand = nil
}

// deliver gives records to the sink; what fails is tried again until ctx ends, and false returned then. A sink that is gone
// for good is not tried again.
func (q *eventQueue) deliver(ctx context.Context, l load) bool {
	records, gone := l.records, 0
	var nextLog time.Time
	retry := retryFirst
	for len(records) > 0 {
		some, n := records.cut(q.write)
		q.mayBeLate()
		r, err := q.sink.Write(ctx, some)
		if err == nil && r.Done != n {
			err = fmt.Errorf("%d of %d events were taken", r.Done, n)
		}
		if r.Done > 0 {
			rest := records.skip(r.Done)
			gone += r.Done
			q.settle(r, len(records)-len(rest), &l, gone)
			records, retry = rest, retryFirst
		}
		q.inTrouble(err != nil)
		if err == nil {
			continue
		}
		if errors.Is(err, ErrGone) {
			q.gone <- err
			return false
		}
		if ctx.Err() != nil {
			return false // close counts what is left
		}
		if now := time.Now(); now.After(nextLog) {
			q.log.Error("events cannot be written; trying again", "events", q.name, "err", err,
				"remedy", "free space on the disk, or mend what reads the events")
			nextLog = now.Add(logEvery)
		}
		if !q.pause(ctx, retry) {
			return false
		}
		retry = min(2*retry, retryMost)
	}
	return true
}

// pause waits before a further try; a stop cuts it short. It returns false when ctx has ended.
func (q *eventQueue) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	closing := q.closing
	if q.isClosed() {
		closing = nil
		timer.Reset(retryFirst) // the time is short
	}
	select {
	case <-ctx.Done():
		return false
	case <-closing:
	case <-timer.C:
	}
	return true
}

func (q *eventQueue) isClosed() bool {
	select {
	case <-q.closing:
		return true
	default:
		return false
	}
}

// settle counts events that the sink is done with, which were of some bytes; gone is how many of the load it is done with in all.
func (q *eventQueue) settle(r Result, bytes int, l *load, gone int) {
	q.mu.Lock()
	end := q.done + uint64(r.Done)
	if l.stored {
		end = l.ends[gone-1]
	} else {
		q.waiting -= bytes
	}
	q.pass(end, uint64(r.Done))
	q.counts.Delivered += uint64(r.Done - r.Refused)
	q.counts.Lost += uint64(r.Refused)
	q.mu.Unlock()
	switch {
	case l.stored:
		q.back.Commit(l.positions[gone-1])
	case q.disk != nil:
		q.skipStored()
	}
}

// pass goes on to a record, past some that were there; what else was on the way is lost. mu is held.
func (q *eventQueue) pass(end, there uint64) {
	n := end - q.done
	q.counts.Pending -= n
	q.counts.Lost += n - there
	q.damaged += n - there
	q.done = end
}

func (q *eventQueue) reopenSink() {
	if s, ok := q.sink.(Reopener); ok {
		if err := s.Reopen(); err != nil {
			q.log.Error("a file of events was not opened anew", "events", q.name, "err", err,
				"remedy", "let this user make files in the directory, and send SIGHUP again")
		}
	}
}

func (q *eventQueue) tally() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts
}
