package manager

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/manager/sink"
)

// The log names an outage where there was one; an agent that connects for the first time had none.
func TestAFirstConnectionLogsNoOutage(t *testing.T) {
	t.Parallel()
	k, err := keys.ParseLine("001 web01 any secret")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		since time.Time
		want  string
	}{{time.Time{}, ""}, {now.Add(-90 * time.Second), "outage=1m30s"}} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		m := &manager{log: log, waves: newWaves(), sinks: sink.NewHub(nil, log)}
		a := &agent{key: k, sinks: m.sinks.NewAgent("001", "web01", "any")}
		a.life.outage.since = tt.since
		m.cameBack(a, now)
		if got := out.String(); !strings.Contains(got, "agent connected") || strings.Contains(got, "outage") != (tt.want != "") || !strings.Contains(got, tt.want) {
			t.Errorf("since %v: %s", tt.since, got)
		}
	}
}
