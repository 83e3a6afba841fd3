package sink

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
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

// chunk is records that follow each other, in memory.
type chunk struct {
	first uint64 // number of the first one
	n     int
	b     Batch
}

func (c *chunk) end() uint64 { return c.first + uint64(c.n) }

// from is the records of c from a number on.
func (c *chunk) from(number uint64) (b Batch, n int) {
	if number <= c.first {
		return c.b, c.n
	}
	if number >= c.end() {
		return nil, 0
	}
	skip := int(number - c.first)
	return c.b.skip(skip), c.n - skip
}

// eventQueue takes records from the receivers and gives them to its sink in a goroutine of its own, so that a slow sink
// never stalls a socket. What waits is bounded: past the limit the newest events are lost, counted, logged, and reported
// by an event of their own once there is room. With a queue on disk, records go there before that limit is reached: see spill. No agent may fill more than its share of what waits, so that one that
// floods loses its own events and not those of others; these are reported under its name.
type eventQueue struct {
	number  int // its place among an agent's stakes
	name    string
	limit   int // bytes that wait at most
	share   int // bytes of them that one agent may have in pending
	percent int // the same as the two of them
	place   Disk
	write   int     // bytes that the sink is given at once
	filter  *Filter // nil lets all pass
	open    func(context.Context) (Sink, error)
	sink    Sink               // set before run
	stop    context.CancelFunc // ends run's context
	hub     *Hub               // of which it is
	log     *slog.Logger

	mu       sync.Mutex
	chunks   []*chunk // in memory, and not taken by the writer; oldest first
	hand     *chunk   // of these, the one that the writer has taken; nil where it has none
	sealed   bool     // the newest chunk takes no more: it is on its way to the disk
	spares   [][]byte // for the next chunks; a few at most
	unread   int      // bytes in chunks
	waiting  int      // bytes in chunks and hand
	done     uint64   // number of the first record that the sink is not done with
	next     uint64   // number of the next record
	filling  uint64   // counts up when all that was in chunks has left them
	mark     uint64   // number of the record that it counts up for
	lost     uint64   // events lost and not reported yet
	crowders []*Agent // those with lost events of their own that are not reported yet
	untold   []*Agent // those of whose losses the sinks for reports are to be told
	slow     complaint
	told     []byte // reports of losses, for sinks that are for these
	damaged  uint64 // those of them that could not be read from the disk
	closed   bool
	reopen   bool
	counts   Counts

	spill // nothing where disk is nil

	wake    chan struct{} // holds a token where there is something to do
	closing chan struct{} // closed by close
	ended   chan struct{} // closed when run ends
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
func (q *eventQueue) put(l *Lot, more bool) {
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
	wait := more && q.unread < writeSize
	crowded := q.disk != nil && q.waiting > q.limit/2
	q.mu.Unlock()
	if crowded {
		q.nudgeSpill()
	}
	if !wait {
		q.nudge()
	}
}

// judge says in l.pass which events the filter lets pass.
func (q *eventQueue) judge(l *Lot) {
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

// openAll opens the sink, and its queue on disk.
func (q *eventQueue) openAll(ctx context.Context) (err error) {
	if q.place.Dir != "" {
		if err := q.openDisk(q.place); err != nil {
			return err
		}
	}
	if q.sink, err = q.open(ctx); err != nil && q.disk != nil {
		q.disk.Close()
	}
	return err
}

// abandon closes what openAll opened.
func (q *eventQueue) abandon() {
	q.sink.Close()
	if q.disk != nil {
		q.disk.Close()
	}
}

// nudge wakes the writer.
func (q *eventQueue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// add takes one record. mu is held.
func (q *eventQueue) add(record []byte, a *Agent) {
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
			if s.floods == nil {
				s.floods = new(complaint)
			}
			if !s.floods.began() {
				break
			}
			q.log.Error("an agent floods: its events are being lost", "agent", cmp.Or(a.ID, a.called), "name", a.Name, "events", q.name,
				"remedy", "see what the host logs so much of; --agent-share sets how much of the queue one agent may fill")
		}
	default:
		q.hold(record)
	}
}

// chunkSize is from where on records go to another chunk, so that memory is given back in parts. Without a disk there is but
// one, which the writer takes whole.
const chunkSize = 256 << 10

// hold puts a record behind all others. mu is held.
func (q *eventQueue) hold(record []byte) {
	if len(q.chunks) == 0 || q.sealed || q.disk != nil && len(q.chunks[len(q.chunks)-1].b) >= chunkSize {
		var b []byte
		if n := len(q.spares); n > 0 {
			b, q.spares = q.spares[n-1], q.spares[:n-1]
		} else {
			b = make([]byte, 0, 2*writeSize) // growing would have receivers wait for each other
		}
		q.chunks, q.sealed = append(q.chunks, &chunk{first: q.next, b: b}), false
	}
	c := q.chunks[len(q.chunks)-1]
	c.b = append(c.b, record...)
	c.n++
	q.next++
	q.unread += len(record)
	q.waiting += len(record)
	q.counts.Pending++
}

// turn begins another filling where the last one has left memory, by the writer or to the disk. mu is held.
func (q *eventQueue) turn() {
	oldest := q.next
	if len(q.chunks) > 0 {
		oldest = q.chunks[0].first
	}
	if oldest >= q.mark {
		q.filling++
		q.mark = q.next
	}
}

// overShare says whether n more bytes are too many for an agent; if not, they are counted.
func (q *eventQueue) overShare(s *stake, n int) bool {
	if s.filling != q.filling {
		s.filling, s.bytes = q.filling, 0
	}
	if s.bytes+n > q.share {
		return true
	}
	if q.disk != nil && q.backlogged() && q.overStored(s, n) {
		return true
	}
	s.bytes += n
	return false
}
