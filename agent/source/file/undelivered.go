package file

import "ossecd/agent/source"

// undelivered is what the files have given and no manager has taken yet. A file is the best buffer for its own lines: where the
// output has more than it wants, files that gave much wait, so that the lines of the others need not queue behind a backlog
// of gigabytes. Those with less than a chunk of it go on.
type undelivered struct {
	backlog source.Backlog // nil where the output has none
	bytes   int64
	parts   []part // in the order in which they were given
}

// part is bytes of a file that are delivered with the events before end.
type part struct {
	tail  *tail
	end   uint64
	bytes int64
}

// maxParts bounds the parts; beyond them the oldest count as delivered.
const maxParts = 8192

func (u *undelivered) add(t *tail, end uint64, events []source.Event) {
	if end == 0 {
		return
	}
	var bytes int64
	for i := range events {
		bytes += int64(len(events[i].Location) + len(events[i].Message) + 16) // about what the spool takes
	}
	u.bytes += bytes
	t.undelivered += bytes
	if n := len(u.parts); n > 0 && u.parts[n-1].tail == t && u.parts[n-1].bytes < chunk {
		u.parts[n-1].end = end
		u.parts[n-1].bytes += bytes
		return
	}
	if len(u.parts) == maxParts {
		u.drop(1)
	}
	u.parts = append(u.parts, part{t, end, bytes})
}

// settle forgets what was delivered: all events before this one.
func (u *undelivered) settle(delivered uint64) {
	n := 0
	for n < len(u.parts) && u.parts[n].end <= delivered {
		n++
	}
	if n > 0 {
		u.drop(n)
	}
}

// drop drops the n oldest parts.
func (u *undelivered) drop(n int) {
	for _, p := range u.parts[:n] {
		u.bytes -= p.bytes
		p.tail.undelivered -= p.bytes
	}
	rest := copy(u.parts, u.parts[n:])
	clear(u.parts[rest:]) // so that closed files can be forgotten
	u.parts = u.parts[:rest]
}

// mustWait says that a file must wait.
func (u *undelivered) mustWait(t *tail) bool {
	if u.backlog == nil || t.undelivered < chunk {
		return false
	}
	delivered, _, most := u.backlog.Backlog()
	u.settle(delivered)
	return most > 0 && u.bytes >= most && t.undelivered >= chunk
}
