package file

// turns says which file is read next, and which ones wait for what.
type turns struct {
	first, last *tail              // those that may have something to read, in their order
	soon        map[*tail]struct{} // those to look at every pace.quick
	held        []*tail            // those that gave more than the managers have taken
	unread      int                // how many are not read to their end
}

// turn is what turns knows of a tail.
type turn struct {
	next    *tail // in the queue
	queued  bool
	held    bool
	drained bool // counted as read to its end
}

// push gives a tail a turn. It has one at most.
func (q *turns) push(t *tail) {
	if t.queued || t.held {
		return
	}
	t.queued, t.next = true, nil
	if q.first == nil {
		q.first = t
	} else {
		q.last.next = t
	}
	q.last = t
}

// wake gives all files of a path a turn.
func (q *turns) wake(tr *track) {
	for _, t := range tr.tails {
		q.push(t)
	}
}

// pop is nil where nobody has anything to read.
func (q *turns) pop() *tail {
	t := q.first
	if t != nil {
		q.first, t.next, t.queued = t.next, nil, false
	}
	return t
}

// hold takes a tail's turns away until release.
func (q *turns) hold(t *tail) {
	t.held = true
	q.held = append(q.held, t)
}

// release gives the files that were held a turn, in which it is asked again whether they must wait.
func (q *turns) release() {
	for _, t := range q.held {
		t.held = false
		q.push(t)
	}
	clear(q.held)
	q.held = q.held[:0]
}

func (q *turns) setDrained(t *tail, drained bool) {
	switch {
	case drained && !t.drained:
		q.unread--
	case !drained && t.drained:
		q.unread++
	}
	t.drained = drained
}

// idle says that every file is read to its end.
func (q *turns) idle() bool {
	if q.unread > 0 || q.first != nil {
		return false
	}
	for t := range q.soon {
		if t.rest > 0 {
			return false
		}
	}
	return true
}
