package outbox

import (
	"context"
	"sync/atomic"

	"ossecd/agent/source"
	"ossecd/agent/spool"
	"ossecd/keys/durable/queue"
)

// Reader gives one manager after the other the events of an Outbox, each until it has arrived. Its methods are for one goroutine, which
// owns all of it but taking.
type Reader struct {
	box   *Outbox
	spool *spool.Reader // nil without one
	next  *source.Event // of the spool: read, and not sent yet
	sent  []sentEvent   // of the spool, oldest first: not known to have arrived
	gone  queue.Position
	lost  uint64 // events that the spool lost, and that nobody was told of

	handed  chan *Batch
	current *Batch        // is being sent, instead of what the spool has
	idled   chan struct{} // has room for one
	done    chan struct{} // closed: this reader takes nothing more

	taking  atomic.Bool   // a manager takes events; for sources to ask
	moved   atomic.Uint64 // events sent
	arrived atomic.Uint64
}

// sentEvent is an event of the spool on its way, and what was dropped behind it.
type sentEvent struct {
	count uint64         // that it was sent with
	end   queue.Position // behind it
}

// Next is the event that is to be sent next, nil where there is none. It is the same until Sent, Drop, Unsent or Rewind.
func (r *Reader) Next() *source.Event {
	if e := r.current; e != nil {
		return &e.batch[e.n]
	}
	if r.next == nil && r.spool != nil {
		r.next, _ = r.spool.Next()
	}
	return r.next
}

// Sent says that Next was sent, as a message with this count. Counts rise.
func (r *Reader) Sent(count uint64) {
	r.moved.Add(1)
	if r.current != nil {
		r.passOver()
		return
	}
	r.next = nil
	r.sent = append(r.sent, sentEvent{count, r.spool.Read()})
}

// Drop says that Next is not to be sent.
func (r *Reader) Drop() {
	if r.current != nil {
		r.passOver()
		return
	}
	r.next = nil
	if n := len(r.sent); n > 0 {
		r.sent[n-1].end = r.spool.Read()
	} else {
		r.gone = r.spool.Read()
	}
}

// passOver goes on in the batch that was handed over.
func (r *Reader) passOver() {
	if r.current.n++; r.current.n == len(r.current.batch) {
		r.finish(nil)
	}
}

// Unsent says that the events sent with this count and later were not sent after all; they come again.
func (r *Reader) Unsent(count uint64) {
	n := len(r.sent)
	for n > 0 && r.sent[n-1].count >= count {
		n--
	}
	end := r.gone
	if n > 0 {
		end = r.sent[n-1].end
	}
	r.sent, r.next = r.sent[:n], nil
	r.spool.Rewind()
	for r.spool.Read().Record < end.Record {
		if _, ok := r.spool.Next(); !ok {
			break
		}
	}
}

// Arrived says that all events sent with this count and before have arrived.
func (r *Reader) Arrived(count uint64) {
	n := 0
	for n < len(r.sent) && r.sent[n].count <= count {
		r.gone = r.sent[n].end
		n++
	}
	r.arrived.Add(uint64(n))
	r.sent = append(r.sent[:0], r.sent[n:]...)
	if r.spool != nil {
		r.spool.Commit(r.gone)
	}
}

// Oldest is the count of the oldest event that is not known to have arrived; ok is false where there is none.
func (r *Reader) Oldest() (count uint64, ok bool) {
	if len(r.sent) == 0 {
		return 0, false
	}
	return r.sent[0].count, true
}

// Rewind has all that is not known to have arrived come again, at most ResendMax of it, and says how many events these are.
func (r *Reader) Rewind() (events uint64) {
	if r.spool == nil {
		return 0
	}
	r.spool.Commit(r.gone)
	r.sent = r.sent[:0]
	n, most := r.spool.Uncommitted(), uint64(r.box.cfg.ResendMax)
	if r.next != nil {
		n, r.next = max(n, 1)-1, nil // this one was not sent; it may have made room meanwhile
	}
	r.spool.Rewind()
	if n > most {
		for range n - most {
			r.spool.Next()
		}
		r.spool.Commit(r.spool.Read())
	}
	return min(n, most)
}

// Lost is how many events the spool lost since Told.
func (r *Reader) Lost() uint64 {
	if r.spool != nil {
		r.lost += r.spool.Lost()
	}
	return r.lost
}

// Told says that the manager was told of what Lost said last.
func (r *Reader) Told() { r.lost = 0 }

// Keeps says whether there is a spool, which keeps events until they have arrived.
func (r *Reader) Keeps() bool { return r.spool != nil }

// Kept says whether Next comes again if it does not arrive.
func (r *Reader) Kept() bool { return r.current == nil && r.spool != nil }

// Idle says that all sources that are awaited have emitted all there was, and that it was sent.
func (r *Reader) Idle() bool {
	if r.Next() != nil {
		return false
	}
	for _, o := range r.box.awaited {
		if !o.isIdle() {
			return false
		}
	}
	return true
}

// Taking says whether a manager takes events.
func (r *Reader) Taking(yes bool) {
	if yes != r.taking.Load() {
		r.taking.Store(yes)
	}
}

// Filled has a token when the spool may have another event; nil without a spool.
func (r *Reader) Filled() <-chan struct{} {
	if r.spool == nil {
		return nil
	}
	return r.spool.More()
}

// Idled has a token when Idle may be true.
func (r *Reader) Idled() <-chan struct{} { return r.idled }

// Handed has a batch to Take, once all before it was sent.
func (r *Reader) Handed() <-chan *Batch {
	if r.current != nil || r.next != nil {
		return nil
	}
	return r.handed
}

// Take sends a batch next.
func (r *Reader) Take(e *Batch) { r.current = e }

// Withdrawn is closed when the source of the batch that is being sent wants it back; then call GiveBack.
func (r *Reader) Withdrawn() <-chan struct{} {
	if r.current == nil {
		return nil
	}
	return r.current.ctx.Done()
}

// GiveBack lets the source go on of which a batch is being sent.
func (r *Reader) GiveBack() {
	if r.current != nil {
		r.finish(r.current.ctx.Err())
	}
}

// Close ends the reader. Whoever waits in Emit for it is told.
func (r *Reader) Close() {
	close(r.done)
	if r.current != nil {
		r.finish(context.Canceled)
	}
}

func (r *Reader) finish(err error) {
	r.current.reply <- err
	r.current = nil
}
