package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// writeSize is about how much a sink is given at once, unless it wants more. What a stop finds unwritten is counted in steps of it.
	writeSize = 64 << 10

	// logEvery is how often one complaint about a sink is logged at most.
	logEvery = time.Minute

	// What fails is tried again after retryFirst, and twice as long each time up to retryMost.
	retryFirst = 200 * time.Millisecond
	retryMost  = 3 * time.Second
)

// queue takes records from the receivers and gives them to its sink in a goroutine of its own, so that a slow sink
// never stalls a socket. What waits is bounded: past the limit the newest events are lost, counted, logged, and reported
// by an event of their own once there is room. No agent may fill more than its share of what waits, so that one that
// floods loses its own events and not those of others; these are reported under its name.
type queue struct {
	number int // its place among an agent's stakes
	name   string
	limit  int     // bytes that wait at most
	share  int     // bytes of them that one agent may have in pending
	write  int     // bytes that the sink is given at once
	filter *Filter // nil lets all pass
	open   func(context.Context) (Sink, error)
	sink   Sink               // set before run
	stop   context.CancelFunc // ends run's context
	serial *atomic.Uint64     // of the last event of all queues
	log    *slog.Logger

	mu       sync.Mutex
	pending  []byte   // whole records that the writer has not taken yet
	filling  uint64   // the number of this pending, counted up from 1
	waiting  int      // bytes taken in and not written, pending ones among them
	lost     uint64   // events lost and not reported yet
	crowders []*Agent // those with lost events of their own that are not reported yet
	slow     complaint
	closed   bool
	reopen   bool
	counts   Counts

	wake    chan struct{} // holds a token where there is something to do
	closing chan struct{} // closed by close
	done    chan struct{} // closed when run ends
	gone    chan<- error  // is sent why run ended early, where a sink is gone for good
}

// Counts are a sink's events since the start: Received = Delivered + Pending + Lost.
type Counts struct {
	Received  uint64
	Delivered uint64
	Pending   uint64
	Lost      uint64
	Filtered  uint64 // not meant for the sink, and not among those received
}

// complaint limits the log lines about one trouble, which can come and go many times a second. Every loss is reported
// as an event all the same.
type complaint struct {
	begin, end time.Time // when a line may be written that it began or ended
	untold     uint64    // events lost since the last line that it ended
}

// began says whether to log that it began.
func (c *complaint) began() bool {
	now := time.Now()
	if now.Before(c.begin) {
		return false
	}
	c.begin = now.Add(logEvery)
	return true
}

// ended takes how many events were lost and says how many to log, 0 for no line.
func (c *complaint) ended(lost uint64) (count uint64) {
	c.untold += lost
	now := time.Now()
	if now.Before(c.end) {
		return 0
	}
	c.end = now.Add(logEvery)
	count, c.untold = c.untold, 0
	return count
}

// put takes events and never blocks. more says that others follow at once: then a full write is waited for, since a wake-up
// of the writer costs more than an event.
func (q *queue) put(l *Lot, more bool) {
	if q.filter != nil {
		q.judge(l)
	}
	q.mu.Lock()
	from := 0
	for i, e := range l.ends {
		if q.filter == nil || l.pass[i] {
			q.add(l.records[from:e.at], e.payer)
		} else {
			q.counts.Filtered++
		}
		from = e.at
	}
	wait := more && len(q.pending) < writeSize
	q.mu.Unlock()
	if !wait {
		q.nudge()
	}
}

// judge says in l.pass which events the filter lets pass.
func (q *queue) judge(l *Lot) {
	l.pass = l.pass[:0]
	b := Batch(l.records)
	var e Event
	for b.Next(&e) {
		payer := l.ends[len(l.pass)].payer
		pass := q.filter.passes(&e)
		switch {
		case !pass:
		case payer != nil:
			pass = !payer.stakes[q.number].shut
		case len(e.ID) > 0: // a report that its agent does not pay for
			pass = !q.filter.shuts(string(e.ID), string(e.Name))
		}
		l.pass = append(l.pass, pass)
	}
}

// nudge wakes the writer.
func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// add takes one record. mu is held.
func (q *queue) add(record []byte, a *Agent) {
	q.counts.Received++
	switch {
	case q.closed || q.waiting+len(record) > q.limit:
		q.lost++
		q.counts.Lost++
		if q.lost == 1 && q.slow.began() {
			q.log.Error("events are being lost: what reads them is too slow", "events", q.name, "waiting_bytes", q.waiting,
				"remedy", "speed up the reader; what is lost is counted and reported once there is room")
		}
	case a != nil && q.overShare(&a.stakes[q.number], len(record)):
		s := &a.stakes[q.number]
		q.counts.Lost++
		if s.lost++; s.lost == 1 {
			q.crowders = append(q.crowders, a)
			if !s.floods.began() {
				break
			}
			q.log.Error("an agent floods: its events are being lost", "agent", a.ID, "name", a.Name, "events", q.name,
				"remedy", "see what the host logs so much of; --agent-share sets how much of the queue one agent may fill")
		}
	default:
		q.hold(record)
	}
}

// hold puts a record among the pending ones. mu is held.
func (q *queue) hold(record []byte) {
	q.pending = append(q.pending, record...)
	q.waiting += len(record)
	q.counts.Pending++
}

// overShare says whether n more bytes are too many for an agent; if not, they are counted.
func (q *queue) overShare(s *stake, n int) bool {
	if s.filling != q.filling {
		s.filling, s.bytes = q.filling, 0
	}
	if s.bytes+n > q.share {
		return true
	}
	s.bytes += n
	return false
}

// take swaps what waits for an empty buffer, and reports lost events at its end.
func (q *queue) take(empty []byte) (records Batch, closed, reopen bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.crowders {
		s := &a.stakes[q.number]
		q.report(a, fmt.Sprintf("ossecd: %d events of '%s-%s' lost: it sent more than its share.", s.lost, a.Name, a.IP), s.lost)
		if n := s.floods.ended(s.lost); n > 0 {
			q.log.Warn("events lost", "agent", a.ID, "name", a.Name, "events", q.name, "count", n)
		}
		s.lost = 0
	}
	q.crowders = q.crowders[:0]
	if q.lost > 0 {
		q.report(nil, fmt.Sprintf("ossecd: %d events lost: their reader was too slow.", q.lost), q.lost)
		if n := q.slow.ended(q.lost); n > 0 {
			q.log.Warn("events lost", "events", q.name, "count", n)
		}
		q.lost = 0
	}
	records, q.pending = q.pending, empty[:0]
	q.filling++
	reopen, q.reopen = q.reopen, false
	return records, q.closed, reopen
}

// report adds an event about lost ones, for which there is always room: mu is held.
func (q *queue) report(about *Agent, text string, lost uint64) {
	q.counts.Received++
	r := appendReport(nil, about, time.Now().UnixNano(), text, Lost, lost)
	stamp(r, q.serial.Add(1))
	q.hold(r)
}

// run hands events to the sink until close was called and all is written, or ctx ends.
func (q *queue) run(ctx context.Context) {
	defer close(q.done)
	var buffer []byte
	for {
		records, closed, reopen := q.take(buffer)
		if reopen {
			q.reopenSink()
		}
		if !q.deliver(ctx, records) {
			return
		}
		buffer = records
		if cap(buffer) > 1<<20 && len(records) < cap(buffer)/8 {
			buffer = nil // a burst is over: give the memory back
		}
		if len(records) > 0 {
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

// deliver gives records to the sink; what fails is tried again until ctx ends, and false returned then. A sink that is gone
// for good is not tried again.
func (q *queue) deliver(ctx context.Context, records Batch) bool {
	var nextLog time.Time
	retry := retryFirst
	for len(records) > 0 {
		some, n := records.cut(q.write)
		r, err := q.sink.Write(ctx, some)
		if err == nil && r.Done != n {
			err = fmt.Errorf("%d of %d events were taken", r.Done, n)
		}
		if r.Done > 0 {
			rest := records.skip(r.Done)
			q.settle(r, len(records)-len(rest))
			records, retry = rest, retryFirst
		}
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
func (q *queue) pause(ctx context.Context, wait time.Duration) bool {
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

func (q *queue) isClosed() bool {
	select {
	case <-q.closing:
		return true
	default:
		return false
	}
}

// settle counts events that the sink is done with, which were of some bytes.
func (q *queue) settle(r Result, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting -= bytes
	q.counts.Pending -= uint64(r.Done)
	q.counts.Delivered += uint64(r.Done - r.Refused)
	q.counts.Lost += uint64(r.Refused)
}

func (q *queue) reopenSink() {
	if s, ok := q.sink.(Reopener); ok {
		if err := s.Reopen(); err != nil {
			q.log.Error("a file of events was not opened anew", "events", q.name, "err", err,
				"remedy", "let this user make files in the directory, and send SIGHUP again")
		}
	}
}

func (q *queue) tally() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts
}

// ErrUnwritten says that events were lost at a stop.
var ErrUnwritten = errors.New("events were not written")

// close takes no more events and waits until all that came before are written, or until deadline is closed; then it ends
// run's context. What is not written is counted in the error. A write that hangs leaves the goroutine of run behind.
func (q *queue) close(deadline <-chan struct{}, within time.Duration) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	close(q.closing)
	q.nudge()
	select {
	case <-q.done:
	case <-deadline:
	}
	q.stop()
	var err error
	if q.endsSoon() {
		err = q.sink.Close()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.counts.Pending + q.lost; n > 0 {
		return errors.Join(err, fmt.Errorf("%d %w to %s within %v; look at what reads them", n, ErrUnwritten, q.name, within))
	}
	return err
}

// endsSoon says whether run has ended, or does since its context has.
func (q *queue) endsSoon() bool {
	select {
	case <-q.done:
		return true
	case <-time.After(endWithin):
		return false
	}
}
