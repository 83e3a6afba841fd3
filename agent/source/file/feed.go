package file

import "time"

// push gives a tail a turn.
func (f *follower) push(t *tail) {
	if !t.held {
		f.queue.push(t)
	}
}

// feed gives tails their turns until a batch is in flight or nobody has anything to read.
func (f *follower) feed() {
	for f.flying == nil {
		t := f.queue.pop()
		if t == nil {
			return
		}
		switch {
		case t.track == nil || !f.mayRead(t):
		case !t.filed:
			f.dirty, f.urgent = true, true // saved gives it its turn
		case f.mustWait(t):
			t.held = true
			f.undelivered.waiting = append(f.undelivered.waiting, t)
		default:
			f.turn(t)
		}
	}
}

// mayRead says that all older files of the path are read.
func (f *follower) mayRead(t *tail) bool {
	for _, older := range t.track.tails {
		if older == t {
			return true
		}
		if !older.released {
			return false
		}
	}
	return true
}

// turn reads one chunk of t and sends its events, or does what is due at the end of a file.
func (f *follower) turn(t *tail) {
	hasSuccessor := f.successorGrew(t) // asked before reading: what is written to t later is a straggler
	f.batch.reset()
	f.stall.begin(&t.track.path)
	if t.unjudged && !f.judge(t) {
		f.stall.end()
		if !t.left.IsZero() && t.drained {
			f.leftAtEnd(t, hasSuccessor)
		}
		return
	}
	truncated, err := t.read(f.buf, &f.batch)
	f.stall.end()
	if truncated {
		f.dirty = true
		f.Log.Info("file truncated; reading it from the beginning", "path", t.track.path)
		f.wakeCopies(t)
		t.filed = false
		f.push(t)
		return
	}
	if err != nil && t.packed != nil {
		f.Log.Error("a compressed file is damaged; what follows in it is missing", "path", t.track.path,
			"name", t.file.Name(), "offset", t.pos.off, "error", err, "remedy", "check the file, for example with gzip -t")
		err = nil
	}
	if err != nil {
		f.readFailed(t, err)
		return
	}
	t.failed = ""
	if len(f.batch.events) == 0 && !f.atEnd(t, hasSuccessor) {
		return
	}
	f.setDrained(t, false)
	f.flying = t
	f.emits <- f.batch.events
}

// atEnd does what is due for a file without further lines. It says true where its unterminated rest, now in the
// batch, is to be sent.
func (f *follower) atEnd(t *tail, hasSuccessor bool) bool {
	now := time.Now()
	left := !t.left.IsZero()
	still := t.stillFor(now)
	all := (left || f.Finish) && still >= f.pace.settle
	if t.rest > 0 && all || t.lines > 0 && still >= f.MultilineTimeout {
		if err := t.readRest(f.buf, &f.batch, all); err != nil {
			f.readFailed(t, err)
			return false
		}
		return len(f.batch.events) > 0
	}
	f.setDrained(t, true)
	if left || f.Finish && t.rest > 0 || t.lines > 0 {
		f.waiting[t] = struct{}{}
	} else {
		delete(f.waiting, t)
	}
	if left && t.rest == 0 {
		f.leftAtEnd(t, hasSuccessor)
	}
	return false
}

// stillFor is how long a file has not grown, and not stood at its path where that was left.
func (t *tail) stillFor(now time.Time) time.Duration {
	still := now.Sub(t.grown)
	if !t.left.IsZero() {
		still = min(still, now.Sub(t.left))
	}
	return still
}

// leftAtEnd does what is due for a file that its path does not stand for any more, and of which nothing is left to read.
func (f *follower) leftAtEnd(t *tail, hasSuccessor bool) {
	now := time.Now()
	still := t.stillFor(now)
	if !t.released && (hasSuccessor || still >= f.pace.settle) {
		t.released = true
		f.wake(t.track)
	}
	if still >= f.pace.linger || t.alias != "" && now.Sub(t.left) >= f.pace.rename {
		f.finish(t)
	}
}

// delivered takes in how many events of the batch in flight were taken.
func (f *follower) delivered(r sent) {
	t, n := f.flying, r.n
	f.flying = nil
	if n > 0 {
		f.undelivered.add(t, r.end, f.batch.events[:n])
		t.pos = f.batch.ends[n-1]
		t.noteEnding()
		f.progress.note(t.id, t.pos)
		f.dirty = true
	}
	f.push(t)
}

// successorGrew says that the next file of the path has bytes already.
func (f *follower) successorGrew(t *tail) bool {
	for i, other := range t.track.tails {
		if other == t && i+1 < len(t.track.tails) {
			in, err := statFile(t.track.tails[i+1].file)
			return err == nil && in.size > 0
		}
	}
	return false
}

// readFailed logs an error once; the file is tried again when it changes, and at every poll.
func (f *follower) readFailed(t *tail, err error) {
	f.setDrained(t, true)
	t.mtime = 0 // no poll shall find it unchanged
	if t.failed == err.Error() {
		return
	}
	t.failed = err.Error()
	f.Log.Error("cannot read a followed file; it is tried again at every poll: check the disk and the mount",
		"path", t.track.path, "error", err)
}

func (f *follower) setDrained(t *tail, drained bool) {
	switch {
	case drained && !t.drained:
		f.unread--
	case !drained && t.drained:
		f.unread++
	}
	t.drained = drained
}
