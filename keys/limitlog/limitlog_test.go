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
