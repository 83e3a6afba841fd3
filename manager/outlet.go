package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// stdoutName is what people call standard output.
const stdoutName = "standard output"

// writeSize is about how much is written at once. What a stop finds unwritten is counted in steps of a write.
const writeSize = 64 << 10

// outlet takes event lines from the receivers and writes them out in a goroutine of its own, so that a slow
// reader never stalls a socket. What waits is bounded: past the limit the newest lines are lost, counted, logged,
// and reported by a line of their own once there is room. No agent may fill more than its share of what waits, so
// that one that floods loses its own events and not those of others; these are reported under its name.
type outlet struct {
	w     io.Writer
	name  string // for people
	limit int    // bytes that wait at most
	share int    // bytes of them that one agent may have in pending
	log   *slog.Logger

	mu        sync.Mutex
	pending   []byte   // whole lines that the writer has not taken yet
	filling   uint64   // the number of this pending, counted up from 1
	waiting   int      // bytes taken in and not written, pending ones among them
	unwritten int      // lines, likewise
	lost      uint64   // lines lost and not reported yet
	crowders  []*agent // those with lost events of their own that are not reported yet
	slow      complaint
	closed    bool

	wake chan struct{} // holds a token where there is something to do
	done chan struct{} // closed when run ends
	gone chan error    // has why run ended early, where the reader is gone for good
}

// newOutlet makes an outlet for limit bytes, of which one agent may take a share in percent.
func newOutlet(w io.Writer, name string, limit, percent int, log *slog.Logger) *outlet {
	return &outlet{w: w, name: name, limit: limit, share: limit / 100 * percent, log: log, filling: 1,
		wake: make(chan struct{}, 1), done: make(chan struct{}), gone: make(chan error, 1)}
}

// quota is what an agent has in the outlet. The outlet's mu guards it.
type quota struct {
	filling uint64 // of which pending it speaks
	bytes   int
	lost    uint64 // events lost for being over the share, not reported yet
	floods  complaint
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

// lot is lines that are put together, each with its line end and the agent to whose share it counts: nil for what the
// manager itself reports.
type lot struct {
	text []byte
	ends []lotEnd
}

type lotEnd struct {
	at    int // where the line ends in text
	agent *agent
}

// end says that a line of a ends here.
func (l *lot) end(a *agent) { l.ends = append(l.ends, lotEnd{len(l.text), a}) }

func (l *lot) clear() { l.text, l.ends = l.text[:0], l.ends[:0] }

// put takes lines and never blocks. more says that others follow at once: then a full write is waited for, since a wake-up
// of the writer costs more than a line. The lot may be used again afterwards.
func (o *outlet) put(l *lot, more bool) {
	o.mu.Lock()
	from := 0
	for _, e := range l.ends {
		o.add(l.text[from:e.at], e.agent)
		from = e.at
	}
	wait := more && len(o.pending) < writeSize
	o.mu.Unlock()
	if wait {
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// add takes one line. mu is held.
func (o *outlet) add(line []byte, a *agent) {
	switch {
	case o.closed || o.waiting+len(line) > o.limit:
		o.lost++
		if o.lost == 1 && o.slow.began() {
			o.log.Error("events are being lost: what reads them is too slow", "events", o.name, "waiting_bytes", o.waiting,
				"remedy", "speed up the reader; what is lost is counted and reported once there is room")
		}
	case a != nil && o.overShare(a, len(line)):
		if a.quota.lost++; a.quota.lost == 1 {
			o.crowders = append(o.crowders, a)
			if !a.quota.floods.began() {
				break
			}
			o.log.Error("an agent floods: its events are being lost", "agent", a.key.ID, "name", a.key.Name, "events", o.name,
				"remedy", "see what the host logs so much of; --agent-share sets how much of the queue one agent may fill")
		}
	default:
		o.pending = append(o.pending, line...)
		o.waiting += len(line)
		o.unwritten++
	}
}

// overShare says whether n more bytes are too many for a; if not, they are counted.
func (o *outlet) overShare(a *agent, n int) bool {
	if a.quota.filling != o.filling {
		a.quota.filling, a.quota.bytes = o.filling, 0
	}
	if a.quota.bytes+n > o.share {
		return true
	}
	a.quota.bytes += n
	return false
}

// take swaps what waits for an empty buffer, and reports lost lines at its end.
func (o *outlet) take(empty []byte) (lines []byte, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines, o.pending = o.pending, empty[:0]
	o.filling++
	before := len(lines)
	for _, a := range o.crowders {
		lines = appendOwn(lines, time.Now(), a.json, fmt.Sprintf("ossecd: %d events of '%s-%s' lost: it sent more than its share.", a.quota.lost, a.key.Name, a.key.Address), "events-lost", a.quota.lost)
		if n := a.quota.floods.ended(a.quota.lost); n > 0 {
			o.log.Warn("events lost", "agent", a.key.ID, "name", a.key.Name, "events", o.name, "count", n)
		}
		a.quota.lost = 0
		o.unwritten++
	}
	o.crowders = o.crowders[:0]
	if o.lost > 0 {
		lines = appendOwn(lines, time.Now(), nil, fmt.Sprintf("ossecd: %d events lost: their reader was too slow.", o.lost), "events-lost", o.lost)
		if n := o.slow.ended(o.lost); n > 0 {
			o.log.Warn("events lost", "events", o.name, "count", n)
		}
		o.lost = 0
		o.unwritten++
	}
	o.waiting += len(lines) - before
	return lines, o.closed
}

// run writes until close was called and all is written, or ctx ends.
func (o *outlet) run(ctx context.Context) {
	defer close(o.done)
	var buffer []byte
	for {
		lines, closed := o.take(buffer)
		if !o.write(ctx, lines) {
			return
		}
		buffer = lines
		if cap(buffer) > 1<<20 && len(lines) < cap(buffer)/8 {
			buffer = nil // a burst is over: give the memory back
		}
		if len(lines) > 0 {
			continue
		}
		if closed {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
	}
}

// write writes whole lines; what fails is tried again until ctx ends, and false returned then. A broken pipe is
// not tried again: what read from it is gone, and no other can take its place. (With a named pipe one can.)
func (o *outlet) write(ctx context.Context, lines []byte) bool {
	var nextLog time.Time
	for len(lines) > 0 {
		piece := lines
		if len(piece) > writeSize {
			end := bytes.LastIndexByte(lines[:writeSize], '\n')
			if end < 0 {
				end = bytes.IndexByte(lines, '\n')
			}
			piece = lines[:end+1]
		}
		n, err := o.w.Write(piece)
		n = max(n, 0)
		o.mu.Lock()
		o.unwritten -= bytes.Count(piece[:n], []byte{'\n'})
		o.waiting -= n
		o.mu.Unlock()
		lines = lines[n:]
		if err == nil {
			continue
		}
		if o.name == stdoutName && errors.Is(err, syscall.EPIPE) {
			o.gone <- fmt.Errorf("events: %w: what read them is gone; start the manager together with it, or write to a file with --events", err)
			return false
		}
		if ctx.Err() != nil {
			return false // close counts what is left
		}
		if now := time.Now(); now.After(nextLog) {
			o.log.Error("events cannot be written; trying again", "events", o.name, "err", err,
				"remedy", "free space on the disk, or mend what reads the events")
			nextLog = now.Add(logEvery)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
	return true
}

var errUnwritten = errors.New("events were not written")

// close takes no more lines and waits, at most for the given time, until all that came before are written; then
// it calls stop, which ends run's context. What is not written is counted in the error. A write that hangs
// leaves the goroutine of run behind.
func (o *outlet) close(within time.Duration, stop context.CancelFunc) error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.put(new(lot), false) // wakes the writer
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
	}
	stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := uint64(o.unwritten) + o.lost; n > 0 {
		return fmt.Errorf("%d %w to %s within %v; look at what reads them", n, errUnwritten, o.name, within)
	}
	return nil
}
