package file

import "ossecd/agent/source"

// ahead is what the files have given and no manager has taken yet. A file is the best buffer for its own lines: where the
// output has more than it wants, files that gave much wait, so that the lines of the others need not queue behind a backlog
// of gigabytes. Those with less than a chunk of it go on.
type ahead struct {
	bytes   int64
	parts   []part // in the order in which they were given
	waiting []*tail
}

// part is bytes of a file that are delivered with the events before end.
type part struct {
	tail  *tail
	end   uint64
	bytes int64
}

// maxParts bounds the parts; beyond them the oldest count as delivered.
const maxParts = 8192

func (a *ahead) add(t *tail, end uint64, events []source.Event) {
	if end == 0 {
		return
	}
	var bytes int64
	for i := range events {
		bytes += int64(len(events[i].Location) + len(events[i].Message) + 16) // about what the spool takes
	}
	a.bytes += bytes
	t.ahead += bytes
	if n := len(a.parts); n > 0 && a.parts[n-1].tail == t && a.parts[n-1].bytes < chunk {
		a.parts[n-1].end = end
		a.parts[n-1].bytes += bytes
		return
	}
	if len(a.parts) == maxParts {
		a.drop(1)
	}
	a.parts = append(a.parts, part{t, end, bytes})
}

// settle forgets what was delivered: all events before this one.
func (a *ahead) settle(delivered uint64) {
	n := 0
	for n < len(a.parts) && a.parts[n].end <= delivered {
		n++
	}
	if n > 0 {
		a.drop(n)
	}
}

// drop drops the n oldest parts.
func (a *ahead) drop(n int) {
	for _, p := range a.parts[:n] {
		a.bytes -= p.bytes
		p.tail.ahead -= p.bytes
	}
	rest := copy(a.parts, a.parts[n:])
	clear(a.parts[rest:]) // so that closed files can be forgotten
	a.parts = a.parts[:rest]
}

// isAhead says that a file must wait.
func (f *follower) isAhead(t *tail) bool {
	if f.backlog == nil || t.ahead < chunk {
		return false
	}
	delivered, _, most := f.backlog.Backlog()
	f.ahead.settle(delivered)
	return most > 0 && f.ahead.bytes >= most && t.ahead >= chunk
}

// releaseAhead gives the files that waited a turn, in which it is asked again whether they must.
func (f *follower) releaseAhead() {
	for _, t := range f.ahead.waiting {
		t.held = false
		f.push(t)
	}
	clear(f.ahead.waiting)
	f.ahead.waiting = f.ahead.waiting[:0]
}
