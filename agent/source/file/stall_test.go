package file

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logs
		s := newStall(slog.New(slog.NewTextHandler(&log, nil)))
		path := "/mnt/away/a.log"
		look := func(d time.Duration) {
			s.begin(&path)
			time.Sleep(d)
			synctest.Wait()
			s.end()
		}
		for _, step := range []struct {
			took time.Duration
			want int
		}{{stallAfter - 1, 0}, {0, 0}, {stallAfter, 1}, {stallAgain / 2, 1}, {time.Hour, 1}, {stallAfter, 2}} {
			look(step.took)
			if got := log.count("path=" + path); got != step.want {
				t.Errorf("after a look of %v: logged %d times, want %d", step.took, got, step.want)
			}
		}
		if log.count("table of their own") != 2 {
			t.Error("no remedy")
		}
	})
}

// A directory that was changed in the future, as after the clock was set back, is not taken for one that changes all the time.
func TestRecent(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for ago, want := range map[time.Duration]bool{0: true, time.Second: true, -time.Second: true, time.Minute: false, -365 * 24 * time.Hour: false} {
		if got := recent(now.Add(-ago), now); got != want {
			t.Errorf("changed %v ago: %v, want %v", ago, got, want)
		}
	}
}
