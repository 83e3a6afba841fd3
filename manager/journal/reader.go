package journal

import (
	"ossecd/keys/durable/queue"
)

// ReaderConfig says who reads.
type ReaderConfig struct {
	Place string // names its place on disk, in letters, digits, -, _ and =
	Limit int64  // bytes that it may be behind; 0 is no bound but that of the journal
	Hold  bool   // it loses nothing: the journal takes no more where that would be needed
	Start queue.Start
}

// Counts are a reader's records: Received = Delivered + Pending + Lost. Those of which it is not known yet whether they are for the
// reader are among the pending.
type Counts struct {
	Received  uint64
	Delivered uint64
	Pending   uint64
	Lost      uint64
	Refused   uint64 // of those lost: they will never be taken
	Filtered  uint64 // not meant for the reader, and not among those received
}

// Reader is one reader of the journal. Its methods but Counts are for one goroutine.
type Reader struct {
	ReaderConfig
	j    *Journal
	disk *queue.Reader
	keep *keeper
	wake chan struct{} // has a token when there is something to read
	read []byte        // from the disk

	// Under the lock of the journal.
	start  uint64 // number of the first record that it was to have in this run
	next   uint64 // number of the record that it is given next
	given  uint64 // number behind what it was given last
	done   uint64 // it is done with all before
	hand   *chunk // at which it looks
	at     *chunk // that it was given last
	off    int    // bytes of it that it was given
	idle   bool   // it waits
	untold uint64 // lost, and not told yet
	counts Counts // without Received and Pending
}

// Wake has a token when there may be something to read, after a Next that had nothing.
func (r *Reader) Wake() <-chan struct{} { return r.wake }

// Nudge has Wake tell, whether there is something or not.
func (r *Reader) Nudge() { r.nudge() }

func (r *Reader) nudge() { nudge(r.wake) }

// most is about how much Next gives at once of what is on disk.
const most = 256 << 10

// Next are the records that come next, as many as there are in one piece; none where there is nothing to read. They are valid until the next call.
func (r *Reader) Next() []byte {
	j := r.j
	for {
		j.mu.Lock()
		r.hand, r.idle = nil, false
		if c := j.tail.find(r.next); c != nil {
			if r.at != c {
				r.at, r.off = c, 0
				for range r.next - c.first {
					r.off += Size(c.b[r.off:])
				}
			}
			b := c.b[r.off:c.ready:c.ready]
			r.hand, r.off, r.next = c, c.ready, c.first+uint64(c.readyN)
			r.given = r.next
			j.mu.Unlock()
			return b
		}
		oldest := j.tail.oldest()
		if r.next >= oldest {
			r.idle = true
			j.release()
			j.mu.Unlock()
			return nil
		}
		from := r.next
		j.mu.Unlock()
		if b := r.fromDisk(from, oldest); len(b) > 0 {
			return b
		}
	}
}

// fromDisk reads records between two numbers. What is missing there is lost.
func (r *Reader) fromDisk(from, below uint64) []byte {
	r.disk.Seek(from)
	r.read = r.read[:0]
	end := from
	gaps := uint64(0)
	for len(r.read) < most && end < below {
		record, ok := r.disk.NextRecord()
		if !ok {
			gaps += below - end // somebody has removed the files
			end = below
			break
		}
		n := Number(record)
		if n >= below {
			gaps += below - end
			end = below
			break
		}
		gaps += n - end
		end = n + 1
		r.read = append(r.read, record...)
	}
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	if r.next != from { // some were lost meanwhile, to make room; they are counted
		return nil
	}
	r.lose(gaps)
	r.next, r.given = end, end
	return r.read
}

// skipped notes that the reader was too far behind. mu is held.
func (r *Reader) skipped() {
	if n := r.disk.Committed(); n > r.next {
		r.lose(n - r.next)
		r.next, r.at = n, nil
	}
}

// lose counts records that it does not get. mu is held.
func (r *Reader) lose(n uint64) {
	r.counts.Lost += n
	r.untold += n
	if n > 0 {
		nudge(r.j.shares.lost)
	}
}

// seldom is after how many records the place of a reader is kept that were not meant for it.
const seldom = 4096

// Squeezed says that the reader is so far behind that it will soon lose its oldest records.
func (r *Reader) Squeezed() bool {
	bytes, most := r.disk.Behind()
	return !r.Hold && bytes > most-max(most/16, min(most/2, 2<<20))
}

// Filtered says that n of the records that Next gave are not for it.
func (r *Reader) Filtered(n int) {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	r.counts.Filtered += uint64(n)
}

// Settle says that it is done with all records below a number: so many were delivered, and refused for good.
func (r *Reader) Settle(number uint64, delivered, refused int) {
	j := r.j
	j.mu.Lock()
	r.done = number
	r.counts.Delivered += uint64(delivered)
	r.counts.Lost += uint64(refused)
	r.counts.Refused += uint64(refused)
	if refused > 0 {
		nudge(j.shares.lost)
	}
	if j.failing {
		j.publish()
	}
	j.mu.Unlock()
	if delivered+refused > 0 || number-r.disk.Committed() >= seldom { // else these can be looked at again
		r.keep.keep(number)
	}
}

// Close keeps its place. What it was given, is not done with, and cannot get again, since it is too far behind, is lost.
func (r *Reader) Close() {
	r.j.mu.Lock()
	done := r.done
	if n := min(r.disk.Committed(), r.given); n > done {
		r.lose(n - done)
		r.done = n
	}
	r.j.mu.Unlock()
	r.keep.keep(done)
}

// Counts are its counts.
func (r *Reader) Counts() Counts {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	c := r.counts
	c.Received = r.j.tail.next - r.start - c.Filtered
	c.Pending = c.Received - c.Delivered - c.Lost
	return c
}

// Untold is how many records it lost and that were not told yet; tell says that they are told now. Those that it refused are not among them.
func (r *Reader) Untold(tell bool) uint64 {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	n := r.untold
	if tell {
		r.untold = 0
	}
	return n
}
