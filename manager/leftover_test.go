package manager

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"ossecd/keys/durable/queue"
	"ossecd/keys/setting/settingtest"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// A start tells in one line of events that wait for sinks that are no more, and of nothing else.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		sinks := filepath.Join(r.cfg.State, sinksDir)
		for name, n := range map[string]int{"of a\x1bcluster/eu": 3, "delivered": 0, "there": 2} {
			q, err := queue.Open(queue.Config{Dir: filepath.Join(sinks, sink.PlaceOf(name)), Limit: queue.MinLimit, Log: quiet})
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
		r.cfg.Sinks = settingtest.Tables(t, "sink", `{"type":"ossec-queue","name":"there","path":"none"}`, `{"type":"ossec-queue","name":"renamed","path":"none"}`)
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		for range 3 {
			p.send("1:/var/log/x:text")
		}
		r.lines()
		r.end()
		told := func() string {
			logs := r.logs.String()
			_, told, _ := strings.Cut(logs, "events wait for sinks that no longer exist")
			if strings.Contains(told, "no longer exist") {
				t.Errorf("told twice: %s", logs)
			}
			line, _, _ := strings.Cut(told, "\n")
			r.logs = new(syncBuffer)
			return line
		}
		if got := told(); !strings.Contains(got, fmt.Sprintf("%q", fmt.Sprintf("%q: 3 events in %s", "of a\x1bcluster/eu", filepath.Join(sinks, sink.PlaceOf("of a\x1bcluster/eu"))))) {
			t.Errorf("told %q", got)
		}
		r.cfg.Sinks = nil
		for range 2 {
			r.start()
			r.end()
			if got := told(); !strings.Contains(got, `\"renamed\": `) || !strings.Contains(got, `\"there\": `) {
				t.Errorf("told %q", got)
			}
		}
		if err := os.Remove(filepath.Join(r.cfg.State, journalDir, "cursor-renamed")); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.end()
		if got := told(); strings.Contains(got, "renamed") {
			t.Errorf("told %q", got)
		}
	})
}
