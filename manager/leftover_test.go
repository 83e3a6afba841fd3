package manager

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"ossecd/keys/durable/queue"
	"ossecd/keys/setting/settingtest"
)

// A start tells in one line of events that wait for sinks that are no more, and of nothing else.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		sinks := filepath.Join(r.cfg.State, sinksDir)
		for name, n := range map[string]int{"of a\x1bcluster/eu": 3, "delivered": 0, "there": 2, "no-disk": 4} {
			q, err := queue.Open(queue.Config{Dir: filepath.Join(sinks, dirName(name)), Limit: queue.MinLimit, Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := q.Append(n, func(b []byte, _ int) []byte { return append(b, "no record of this version"...) }); err != nil {
				t.Fatal(err)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(sinks, "lost+found"), 0o700); err != nil {
			t.Fatal(err)
		}
		r.cfg.Sinks = settingtest.Tables(t, "sink", `{"type":"nats","name":"there","servers":["nats://192.0.2.1:4222"]}`, `{"type":"stdout","name":"no-disk"}`)
		var err error
		if r.cfg.plans, err = r.cfg.planSinks(); err != nil {
			t.Fatal(err)
		}
		var logs syncBuffer
		r.cfg.tellLeftovers(slog.New(slog.NewTextHandler(&logs, nil)))
		got := logs.String()
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") ||
			!strings.Contains(got, fmt.Sprintf("%q", `"no-disk": 4 events, "of a\x1bcluster/eu": 3 events`)) || !strings.Contains(got, "queue_disk") {
			t.Errorf("logged %s", got)
		}
		r.cfg.Sinks = nil
		r.start()
		if got := r.logs.String(); strings.Count(got, "wait on the disk for sinks") != 1 {
			t.Errorf("logged %s", got)
		}
		r.end()
	})
}

func TestDirNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nats-2", "to nats", "../x", "=20", "\xff\x00", "a.b"} {
		if got, ok := sinkOfDir(dirName(name)); got != name || !ok || filepath.Base(dirName(name)) != dirName(name) {
			t.Errorf("%q became %q, and that %q, %v", name, dirName(name), got, ok)
		}
	}
	for _, dir := range []string{"lost+found", "a=", "a=2", "a=zz", "=61", "a b", "=2F"} {
		if got, ok := sinkOfDir(dir); ok {
			t.Errorf("%q is that of %q", dir, got)
		}
	}
}
