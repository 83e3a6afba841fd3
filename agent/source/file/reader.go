package file

import (
	"context"
	"slices"
	"time"

	"ossecd/agent/source"
)

// reader reads files in their turns, and sends their events, one batch at a time.
type reader struct {
	*paths
	copies      copies
	stall       *stall
	undelivered undelivered
	emits       chan []source.Event
	sent        chan sent

	flying *tail // whose batch is in Emit; nil: none
	batch  batch
	buf    []byte
}

// sent is what Emit returned for the batch in flight.
type sent struct {
	n   int
	end uint64 // number of an event behind them, 0 where that is not known
	err error
}

// emit passes batches on, in a goroutine of its own.
func (r *reader) emit(ctx context.Context, out source.Output) {
	for b := range r.emits {
		n, err := out.Emit(ctx, b)
		var end uint64
		if backlog := r.undelivered.backlog; backlog != nil {
			_, end, _ = backlog.Backlog()
		}
		r.sent <- sent{n, end, err}
	}
}

// feed gives tails their turns until a batch is in flight or nobody has anything to read.
func (r *reader) feed() {
	for r.flying == nil {
		t := r.turns.pop()
		if t == nil {
			return
		}
		switch {
		case t.track == nil || !r.mayRead(t):
		case !t.filed:
			r.saving.dirty, r.saving.urgent = true, true // the save gives it its turn
		case r.undelivered.mustWait(t):
			r.turns.hold(t)
		default:
			r.turn(t)
		}
	}
}

// mayRead says that all older files of the path are read.
func (r *reader) mayRead(t *tail) bool {
	older := t.track.tails[:slices.Index(t.track.tails, t)]
	return !slices.ContainsFunc(older, func(o *tail) bool { return !o.released })
}

// turn reads one chunk of t and sends its events, or does what is due at the end of a file.
func (r *reader) turn(t *tail) {
	hasSuccessor := r.successorGrew(t) // asked before reading: what is written to t later is a straggler
	r.batch.reset()
	r.stall.begin(&t.track.path)
	if t.unjudged && !r.copies.judge(t) {
		r.stall.end()
		if !t.left.IsZero() && t.drained {
			r.leftAtEnd(t, hasSuccessor)
		}
		return
	}
	truncated, err := t.read(r.buf, &r.batch)
	r.stall.end()
	if truncated {
		r.saving.dirty = true
		r.Log.Info("file truncated; reading it from the beginning", "path", t.track.path)
		r.wakeCopies(t)
		t.filed = false
		r.turns.push(t)
		return
	}
	if err != nil && t.packed != nil {
		r.Log.Error("a compressed file is damaged; what follows in it is missing", "path", t.track.path,
			"name", t.file.Name(), "offset", t.pos.off, "error", err, "remedy", "check the file, for example with gzip -t")
		err = nil
	}
	if err != nil {
		r.readFailed(t, err)
		return
	}
	t.failed = ""
	if len(r.batch.events) == 0 && !r.atEnd(t, hasSuccessor) {
		return
	}
	r.turns.setDrained(t, false)
	r.flying = t
	r.emits <- r.batch.events
}

// atEnd does what is due for a file without further lines. It says true where its unterminated rest, now in the
// batch, is to be sent.
func (r *reader) atEnd(t *tail, hasSuccessor bool) bool {
	now := time.Now()
	left := !t.left.IsZero()
	still := t.stillFor(now)
	all := (left || r.Finish) && still >= r.pace.settle
	if t.rest > 0 && all || t.lines > 0 && still >= r.MultilineTimeout {
		if err := t.readRest(r.buf, &r.batch, all); err != nil {
			r.readFailed(t, err)
			return false
		}
		return len(r.batch.events) > 0
	}
	r.turns.setDrained(t, true)
	if left || r.Finish && t.rest > 0 || t.lines > 0 {
		r.turns.soon[t] = struct{}{}
	} else {
		delete(r.turns.soon, t)
	}
	if left && t.rest == 0 {
		r.leftAtEnd(t, hasSuccessor)
	}
	return false
}

// leftAtEnd does what is due for a file that its path does not stand for any more, and of which nothing is left to read.
func (r *reader) leftAtEnd(t *tail, hasSuccessor bool) {
	now := time.Now()
	still := t.stillFor(now)
	if !t.released && (hasSuccessor || still >= r.pace.settle) {
		t.released = true
		r.turns.wake(t.track)
	}
	if still >= r.pace.linger || t.alias != "" && now.Sub(t.left) >= r.pace.rename {
		r.finish(t)
	}
}

// delivered takes in how many events of the batch in flight were taken.
func (r *reader) delivered(s sent) {
	t, n := r.flying, s.n
	r.flying = nil
	if n > 0 {
		r.undelivered.add(t, s.end, r.batch.events[:n])
		t.pos = r.batch.ends[n-1]
		if t.packed == nil {
			t.end = endingIn(r.batch.text, r.batch.from, t.pos.off)
		}
		r.saving.progress.note(t.id, &t.reached)
		r.saving.dirty = true
	}
	r.turns.push(t)
}

// successorGrew says that the next file of the path has bytes already.
func (r *reader) successorGrew(t *tail) bool {
	next := slices.Index(t.track.tails, t) + 1
	if next == len(t.track.tails) {
		return false
	}
	in, err := statFile(t.track.tails[next].file)
	return err == nil && in.size > 0
}

// readFailed logs an error once; the file is tried again when it changes, and at every poll.
func (r *reader) readFailed(t *tail, err error) {
	r.turns.setDrained(t, true)
	t.mtime = 0 // no poll shall find it unchanged
	if t.failed == err.Error() {
		return
	}
	t.failed = err.Error()
	r.Log.Error("cannot read a followed file; it is tried again at every poll: check the disk and the mount",
		"path", t.track.path, "error", err)
}
