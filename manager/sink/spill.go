package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"ossecd/keys/durable/queue"
)

// Disk says where events of a sink go that would wait in memory for long. The zero value is none.
type Disk struct {
	Dir   string
	Limit int64 // bytes; at least MinDisk
}

// MinDisk is the least that a queue on disk can hold.
const MinDisk = queue.MinLimit

const (
	// spillAfter is about how long events wait in memory before they go to the disk. A kill can lose as much.
	spillAfter = time.Second

	// syncAfter is how old what waits on the disk gets before it is forced there, for the case of a power cut.
	syncAfter = 5 * time.Second
)

// spill is the part of a queue that is on disk. Records have numbers; the sink is done with those below done:
//
//	done                      stored       next
//	 ├──── on the disk ─────────┤
//	 ├─ hand ─┤                 ├─ chunks ──┤     in memory
//
// While the sink takes what comes there is nothing on the disk. When a write fails or takes long, when memory is half full, and
// then once a second until the disk is empty again, all that is in memory goes to the disk, and what the writer has in hand
// is written there as well. The writer takes what is next from where it is.
type spill struct {
	disk      *queue.Queue
	back      *queue.Reader // what the writer reads from the disk
	diskShare int64         // bytes of a backlog that one agent may have

	// Guarded by the queue's mu.
	stored    uint64    // number of the first record that was never put on the disk
	base      uint64    // what the disk adds to a number
	backlog   uint64    // counts up when records go to a disk that was empty
	trouble   bool      // the last write failed, or takes long
	notBefore time.Time // when a disk may be tried again that took no more
	nextLog   time.Time

	late      *time.Timer   // of a write
	spillWake chan struct{} // holds a token where something is to go to the disk
	spillStop chan struct{} // closed by close
	spillDone chan struct{} // closed when spills has ended
}

// openDisk opens the queue on disk. What it holds of an earlier run counts as received.
func (q *eventQueue) openDisk(d Disk) (err error) {
	if q.disk, err = queue.Open(queue.Config{Dir: d.Dir, Limit: d.Limit, Sync: syncAfter, Log: q.log}); err != nil {
		return fmt.Errorf("queue_disk: %w", err)
	}
	q.diskShare = d.Limit / 100 * int64(q.percent)
	q.back = q.disk.Reader(0)
	held := q.back.Waiting()
	q.base = q.back.Read().Record - q.done
	q.next += held
	q.stored, q.mark = q.next, q.next
	q.counts.Received, q.counts.Pending = held, held
	if held > 0 {
		q.log.Info("events of an earlier run wait on the disk", "events", q.name, "count", held)
	}
	q.late = time.AfterFunc(time.Hour, func() { q.inTrouble(true) })
	q.late.Stop()
	q.spillWake, q.spillStop, q.spillDone = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	return nil
}

// backlogged says that there are records on the disk which the sink is not done with. mu is held.
func (q *eventQueue) backlogged() bool { return q.done < q.stored }

// overStored says whether n more bytes of a backlog are too many for an agent; if not, they are counted. mu is held.
func (q *eventQueue) overStored(s *stake, n int) bool {
	if s.backlog != q.backlog {
		s.backlog, s.stored = q.backlog, 0
	}
	if s.stored+int64(n) > q.diskShare {
		return true
	}
	s.stored += int64(n)
	return false
}

func (q *eventQueue) nudgeSpill() {
	select {
	case q.spillWake <- struct{}{}:
	default:
	}
}

// mayBeLate is said before a write.
func (q *eventQueue) mayBeLate() {
	if q.disk != nil {
		q.late.Reset(spillAfter)
	}
}

// inTrouble is said when a write has failed or takes long, or has ended well.
func (q *eventQueue) inTrouble(yes bool) {
	if q.disk == nil {
		return
	}
	if !yes {
		q.late.Stop()
	}
	q.mu.Lock()
	began := yes && !q.trouble
	q.trouble = yes
	q.mu.Unlock()
	if began {
		q.nudgeSpill()
	}
}

// spills moves records to the disk until spillStop is closed.
func (q *eventQueue) spills() {
	defer close(q.spillDone)
	timer := time.NewTimer(spillAfter)
	defer timer.Stop()
	for {
		select {
		case <-q.spillStop:
			return
		case <-q.spillWake:
		case <-timer.C:
		}
		q.mu.Lock()
		due := !time.Now().Before(q.notBefore) && (q.trouble || q.backlogged() || q.waiting > q.limit/2)
		q.mu.Unlock()
		if due {
			q.toDisk()
		}
		q.mu.Lock()
		again := q.trouble || q.backlogged() || q.waiting > q.limit/2
		q.mu.Unlock()
		if again {
			timer.Reset(spillAfter)
		}
	}
}

// toDisk puts all on the disk that is in memory. What it does not take stays in memory. One goroutine at a time may call it.
func (q *eventQueue) toDisk() {
	_, end := q.disk.Bounds() // which nobody else moves; and a disk that is busy must not hold up the receivers
	q.mu.Lock()
	from := max(q.stored, q.done)
	var parts []Batch
	n := 0
	for _, c := range append([]*chunk{q.hand}, q.chunks...) {
		if c == nil {
			continue
		}
		if b, some := c.from(from); some > 0 {
			parts = append(parts, b)
			n += some
		}
	}
	if n == 0 {
		q.mu.Unlock()
		return
	}
	if !q.backlogged() { // what is on the disk is done with
		q.stored, q.base = from, end-from
		q.backlog++
	}
	q.sealed = true
	q.mu.Unlock()

	put, err := q.disk.Append(n, func(b []byte, _ int) []byte {
		for len(parts[0]) == 0 {
			parts = parts[1:]
		}
		size := recordSize(parts[0])
		b = append(b, parts[0][:size]...)
		parts[0] = parts[0][size:]
		return b
	})

	q.mu.Lock()
	q.sealed = false // what stays is not being read any more
	q.stored += uint64(put)
	for len(q.chunks) > 0 && q.chunks[0].first < q.stored {
		c := q.chunks[0]
		rest, n := c.from(q.stored)
		q.unread -= len(c.b) - len(rest)
		q.waiting -= len(c.b) - len(rest)
		if n > 0 {
			q.chunks[0] = &chunk{first: q.stored, n: n, b: rest}
			break
		}
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
	}
	q.turn()
	if err != nil {
		q.diskFailed(err)
	}
	q.mu.Unlock()
	q.nudge()
}

// diskFailed notes that the disk took no more. mu is held.
func (q *eventQueue) diskFailed(err error) {
	now := time.Now()
	q.notBefore = now.Add(spillAfter)
	if now.Before(q.nextLog) {
		return
	}
	q.nextLog = now.Add(logEvery)
	remedy := "make room on the disk, or mend it"
	if errors.Is(err, queue.ErrFull) {
		remedy = "see why the sink takes nothing, or give it more with queue_disk"
	}
	q.log.Warn("events that wait cannot go to the disk; they wait in memory", "events", q.name, "err", err, "waiting_bytes", q.waiting, "remedy", remedy)
}

// skipStored has the disk forget what the sink is done with. Only the writer may call it.
func (q *eventQueue) skipStored() {
	q.mu.Lock()
	end := min(q.done, q.stored) + q.base
	q.mu.Unlock()
	moved := false
	for q.back.Read().Record < end {
		if _, ok := q.back.Next(); !ok {
			break
		}
		moved = true
	}
	if moved {
		q.back.Commit(q.back.Read())
	}
}

// readStored reads what is next from the disk. Where nothing of it can be read, it is lost. Only the writer may call it.
func (q *eventQueue) readStored() load {
	q.skipStored()
	q.mu.Lock()
	base, stored := q.base, q.stored
	q.mu.Unlock()
	l := load{stored: true}
	for len(l.records) < q.write {
		r, ok := q.back.Next()
		if !ok {
			break
		}
		if whole(r) {
			at := q.back.Read()
			l.records = append(l.records, r...)
			l.ends, l.positions = append(l.ends, at.Record-base), append(l.positions, at)
		}
	}
	if len(l.records) == 0 {
		q.mu.Lock()
		q.pass(stored, 0)
		q.mu.Unlock()
		q.back.Commit(q.back.Read())
	}
	return l
}

// whole says that r is one record. The disk gives back what was put there, but perhaps by another version of us.
func whole(r []byte) bool {
	if len(r) < recordHead || recordSize(r) != len(r) {
		return false
	}
	n := recordHead
	for _, c := range r[21:26] {
		n += int(c)
	}
	n += int(binary.LittleEndian.Uint16(r[26:])) + int(binary.LittleEndian.Uint16(r[28:]))
	return n <= len(r)
}

// endSpill has all that is left in memory put on the disk once the writer had its time for it, or until deadline is closed.
func (q *eventQueue) endSpill(deadline <-chan struct{}, after time.Duration) {
	close(q.spillStop)
	select {
	case <-q.ended:
	case <-time.After(after):
	}
	last := make(chan struct{})
	go func() {
		defer close(last)
		<-q.spillDone
		q.toDisk()
	}()
	select {
	case <-last:
	case <-deadline:
	}
}
