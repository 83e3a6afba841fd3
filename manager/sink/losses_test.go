package sink

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A sink that takes less than comes loses events of the agent that floods, under its name, and none of another one; its counts add up all the time.
func TestASlowSinkLosesTheFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &slow{}
		s := spec(r)
		s.Queue = 4 << 20
		sinks := start(t, quiet, limits{share: 50}, s)
		flooder, other := NewAgent("001", "web01", "any"), NewAgent("002", "db01", "any")
		flooder.Key, other.Key = 7, 8
		const seconds, each = 300, 200
		for i := range seconds {
			for range each {
				sinks.give(strings.Repeat("f", 1000), flooder)
			}
			sinks.give(fmt.Sprintf("other %d", i), other)
			time.Sleep(time.Second)
			adds(t, sinks.list[0].counts())
		}
		r.fast()
		time.Sleep(2 * time.Minute)
		end(t, sinks)
		c, got := sinks.list[0].counts(), r.String()
		if n := strings.Count(got, "other "); n != seconds {
			t.Errorf("%d events of the other agent, want %d; %+v", n, seconds, c)
		}
		lost, f := 0, strings.Count(got, "fff\n")
		for line := range strings.Lines(got) {
			if !strings.HasPrefix(line, "{") {
				continue
			}
			n := 0
			if _, count, ok := strings.Cut(line, `"count":`); !ok || !strings.Contains(line, `"id":"001"`) || !strings.Contains(line, `"sink":"test"`) {
				t.Errorf("told: %s", line)
			} else if fmt.Sscan(strings.NewReplacer(",", " ", "}", " ").Replace(count), &n); n > 0 {
				lost += n
			}
		}
		if lost == 0 || lost+f != seconds*each || c.Lost != uint64(lost) {
			t.Errorf("%d of the flood came, %d were told to be lost, of %d; %+v", f, lost, seconds*each, c)
		}
	})
}

// slow is a reader that takes 30 KB a second, until it is told to be fast.
type slow struct {
	reader
	quick bool
}

func (s *slow) Write(ctx context.Context, events Batch) (Result, error) {
	s.mu.Lock()
	quick := s.quick
	s.mu.Unlock()
	if !quick {
		time.Sleep(time.Duration(len(events)/30_000+1) * time.Second)
	}
	return s.reader.Write(ctx, events)
}

func (s *slow) fast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quick = true
}
