package journal

import "ossecd/keys/durable/queue"

// Head is the size of a record's head, which has its size and number. Records are made with room for it, and sealed.
const Head = queue.Head

// Seal completes the record that begins at start and ends with b.
func Seal(b []byte, start int) []byte { return queue.Seal(b, start) }

// Size is the size of the record that b begins with, and Number its number.
func Size(b []byte) int { return queue.Size(b) }

// Number is the number of the record that b begins with: no two records of a journal have the same, those of earlier runs among them.
func Number(b []byte) uint64 { return queue.Number(b) }

// Lot is records that are put together. The zero Lot is an empty one.
type Lot struct {
	Records []byte
	ends    []lotEnd
}

// lotEnd is where a record ends, and the account to which it counts: nil for what the manager itself reports.
type lotEnd struct {
	at    int
	payer *Account
}

// End ends a record that was appended to Records, and seals it.
func (l *Lot) End(payer *Account) {
	start := 0
	if n := len(l.ends); n > 0 {
		start = l.ends[n-1].at
	}
	l.Records = queue.Seal(l.Records, start)
	l.ends = append(l.ends, lotEnd{len(l.Records), payer})
}

// Len is the number of records.
func (l *Lot) Len() int { return len(l.ends) }

// Clear empties the lot for its next use.
func (l *Lot) Clear() { l.Records, l.ends = l.Records[:0], l.ends[:0] }

// enough is how much gathers before it is written, where more follows at once: a wake-up costs more than an event.
const enough = 64 << 10

// Put takes records and never blocks. more says that others follow at once. The lot may be used again afterwards. All that was put so far has
// numbers below end.
func (j *Journal) Put(l *Lot, more bool) (end uint64) {
	j.mu.Lock()
	from := 0
	for _, e := range l.ends {
		if record := l.Records[from:e.at]; j.shares.admit(e.payer, len(record), j.tail.waiting, j.closed) {
			j.tail.hold(record)
		}
		from = e.at
	}
	end = j.tail.next
	if j.failing {
		j.publish()
	}
	wake := j.tail.waiting > 0 && !(more && j.tail.waiting < enough)
	j.mu.Unlock()
	if wake {
		nudge(j.wake)
	}
	return end
}

// waiter is what is to be done once all records below a number are safe.
type waiter struct {
	at uint64
	do func()
}

// When says that all records below a number, a result of Put, are safe. Where they are not, do is called once they are, by a goroutine
// of the journal's, after those given earlier.
func (j *Journal) When(at uint64, do func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiters) == 0 && at <= j.safe() {
		return true
	}
	if n := len(j.waiters); n > 0 {
		at = max(at, j.waiters[n-1].at)
	}
	j.waiters = append(j.waiters, waiter{at, do})
	return false
}

// Flush waits until all that was put is written, or readers may have it though it is not, or deadline is closed.
func (j *Journal) Flush(deadline <-chan struct{}) {
	written := make(chan struct{})
	j.mu.Lock()
	end, failing := j.tail.next, j.failing
	j.mu.Unlock()
	if failing || j.When(end, func() { close(written) }) {
		return
	}
	nudge(j.wake)
	select {
	case <-written:
	case <-deadline:
	}
}

// answer calls what waits.
func (j *Journal) answer() {
	for {
		j.mu.Lock()
		n, safe := 0, j.safe()
		for n < len(j.waiters) && j.waiters[n].at <= safe {
			n++
		}
		due := j.waiters[:n]
		j.waiters = j.waiters[n:]
		j.mu.Unlock()
		for i := range due {
			due[i].do()
			due[i].do = nil
		}
		select {
		case <-j.due:
		case <-j.closing:
			if n == 0 {
				return
			}
		}
	}
}
