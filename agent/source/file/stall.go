package file

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// stallAfter is how long one look at a file may take before that is logged, and stallAgain the least time between two such
// messages.
const (
	stallAfter = 5 * time.Second
	stallAgain = 10 * time.Minute
)

// stall logs that a file system does not answer, as one of a network whose server is away: the system lets nobody take back a read
// that is under way, so the follower, and all its files, wait for it. begin and end are for one goroutine.
type stall struct {
	log   *slog.Logger
	path  atomic.Pointer[string]
	timer *time.Timer
	next  time.Time // not logged before; of the timer
}

func newStall(log *slog.Logger) *stall {
	s := &stall{log: log}
	s.timer = time.AfterFunc(time.Hour, s.tell)
	s.timer.Stop()
	return s
}

// begin says that a file is looked at now; the path must not change.
func (s *stall) begin(path *string) {
	s.path.Store(path)
	s.timer.Reset(stallAfter)
}

func (s *stall) end() {
	s.timer.Stop()
	s.path.Store(nil)
}

func (s *stall) tell() {
	path, now := s.path.Load(), time.Now()
	if path == nil || now.Before(s.next) {
		return
	}
	s.next = now.Add(stallAgain)
	s.log.Warn("a file system does not answer; the other files of this source wait for it: check its server, and give its files "+
		"an [[agent.source]] table of their own, so that only they wait", "path", *path, "after", stallAfter)
}
