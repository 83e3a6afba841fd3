package queue

import (
	"os"
	"path/filepath"
)

// spareName is the file of a segment that is done with, kept for the next one. What stands in it are records with lower numbers, which
// are not taken for any of the next.
const spareName = "spare"

// spares says whether there is such a file. The lock of the queue guards it.
type spares struct {
	ready bool
	made  bool // it is on its way
}

// keepSpare keeps the file of a segment that was taken off the list, if there is use for it.
func (q *Queue) keepSpare(first uint64) bool {
	q.mu.Lock()
	may := q.cfg.Reuse && !q.closed && !q.spares.ready && !q.spares.made
	q.spares.made = q.spares.made || may
	q.mu.Unlock()
	if !may {
		return false
	}
	err := os.Rename(q.path(first), filepath.Join(q.cfg.Dir, spareName))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spares = spares{ready: err == nil}
	return err == nil
}

// takeSpare makes the spare file that of a segment.
func (q *Queue) takeSpare(first uint64) bool {
	q.mu.Lock()
	ready := q.spares.ready
	q.spares.ready = false
	q.mu.Unlock()
	return ready && os.Rename(filepath.Join(q.cfg.Dir, spareName), q.path(first)) == nil
}
