package sendtest

import (
	"fmt"
	"math"
	"time"

	"ossecd/proto"
)

// clock counts from the clock, for those who have no counters on disk: the global part is the Unix time in
// seconds, the local part how much of the second has passed. So a run counts higher than those before it, unless
// one of them sent more than some 10,000 messages a second; after that it takes until the clock has caught up.
type clock struct{ last proto.Counter }

const localMax = 9_997 // after which comes the next global

func newClock(now time.Time) (*clock, error) {
	c, ok := countAt(now)
	if !ok {
		return nil, fmt.Errorf("the clock of this host says %s, from which nobody can count; set it, or use --state", now.UTC().Format(time.RFC3339))
	}
	return &clock{c}, nil
}

// countAt is the count at a time; there is none before 1970 and from 2^31 on.
func countAt(t time.Time) (proto.Counter, bool) {
	s := t.Unix()
	local := int64(t.Nanosecond()) * localMax / int64(time.Second)
	return proto.Counter{Global: uint32(s), Local: uint32(local)}, s >= 1 && s <= math.MaxInt32
}

func (c *clock) Next() (proto.Counter, error) {
	c.last = c.last.Next()
	return c.last, nil
}

// Rebase looks at the clock again.
func (c *clock) Rebase() error {
	if now, ok := countAt(time.Now()); ok && now.Value() > c.last.Value() {
		c.last = now
	}
	return nil
}

// ahead is by how many seconds the count is in the future.
func (c *clock) ahead(now time.Time) time.Duration {
	return max(0, time.Unix(int64(c.last.Global)+1, 0).Sub(now).Truncate(time.Second))
}
