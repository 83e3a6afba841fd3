package manager

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/manager/sink"
	"ossecd/proto"
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

// While a stock manager served in our place it set the times of the agents' files: what it heard is no outage.
func TestStockManagerHeardAgents(t *testing.T) {
	t.Parallel()
	now := time.Now()
	last := now.Add(-15 * time.Minute).Truncate(time.Second)
	for name, tt := range map[string]struct {
		file time.Time
		want time.Time
		home bool
	}{
		"heard by it":        {now.Add(-5 * time.Second), now.Add(-5 * time.Second).Truncate(time.Second), true},
		"not heard since":    {last.Add(-time.Hour), last, true},
		"a clock set back":   {now.Add(time.Hour), last, true},
		"no stock manager":   {now.Add(-5 * time.Second), last, false},
		"no file of that ID": {time.Time{}, last, true},
	} {
		received, err := keys.OpenReceived(filepath.Join(t.TempDir(), "received"))
		if err != nil {
			t.Fatal(err)
		}
		k := mustKey(t, subnetLine)
		slot, err := received.Slot(k.ID, k.Secret, "", proto.Counter{})
		if err != nil {
			t.Fatal(err)
		}
		slot.SetLastSeen(last)
		c := &Config{OssecHome: t.TempDir()}
		path := filepath.Join(c.inStock(stockAgentInfo), "net01-198.51.100.0")
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if !tt.file.IsZero() {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, tt.file, tt.file); err != nil {
				t.Fatal(err)
			}
		}
		if !tt.home {
			c.OssecHome = ""
		}
		c.heardByStock(k, slot, now)
		if got := slot.LastSeen(); !got.Equal(tt.want) {
			t.Errorf("%s: last seen %v, want %v", name, got, tt.want)
		}
		received.Close()
	}
}
