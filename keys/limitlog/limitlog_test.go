package limitlog

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := New(slog.New(slog.NewTextHandler(&b, nil)))
		for range 121 { // two minutes
			l.Warn("a", "n", 1)
			l.Error("b")
			time.Sleep(time.Second)
		}
		if a, b := strings.Count(b.String(), "level=WARN msg=a n=1"), strings.Count(b.String(), "level=ERROR msg=b"); a != 3 || b != 3 {
			t.Errorf("logged %d and %d times in two minutes", a, b)
		}
	})
}

// A clock that was ahead and is right again does not silence the log until it gets there.
func TestLimitAfterAClockWasAhead(t *testing.T) {
	t.Parallel()
	l, now := new(Limit), time.Now()
	for _, tt := range []struct {
		at   time.Time
		want bool
	}{
		{now.AddDate(1, 0, 0), true},
		{now.AddDate(1, 0, 0).Add(Every - time.Second), false},
		{now, true},
		{now.Add(Every - time.Second), false},
		{now.Add(Every), true},
	} {
		if got := l.Due(tt.at); got != tt.want {
			t.Errorf("at %v: %v, want %v", tt.at.Sub(now), got, tt.want)
		}
	}
}
