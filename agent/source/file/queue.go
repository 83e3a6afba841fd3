package file

// queue is the order in which tails get their turn. Each is in it at most once.
type queue struct {
	head, last *tail
}

func (q *queue) push(t *tail) {
	if t.queued {
		return
	}
	t.queued, t.next = true, nil
	if q.head == nil {
		q.head = t
	} else {
		q.last.next = t
	}
	q.last = t
}

// pop is nil where the queue is empty.
func (q *queue) pop() *tail {
	t := q.head
	if t != nil {
		q.head, t.next, t.queued = t.next, nil, false
	}
	return t
}
