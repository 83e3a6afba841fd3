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
	"ossecd/manager/stock"
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
		here bool // it is taken to be there, and has its full waiting time
	}{
		"heard by it":              {file: now.Add(-5 * time.Second), want: now.Add(-5 * time.Second).Truncate(time.Second), home: true, here: true},
		"its last keepalive":       {file: now.Add(-10 * time.Minute), want: now.Add(-10 * time.Minute).Truncate(time.Second), home: true, here: true},
		"not heard since":          {file: last.Add(-time.Hour), want: last, home: true},
		"a clock set back":         {file: now.Add(time.Hour), want: last, home: true},
		"no stock manager":         {file: now.Add(-5 * time.Second), want: last},
		"no file of that ID":       {want: last, home: true},
		"silent when we took over": {file: now.Add(-31 * time.Minute), want: now.Add(-31 * time.Minute).Truncate(time.Second), home: true},
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
		if slot.SetLastSeen(last); name == "silent when we took over" {
			slot.SetLastSeen(now.Add(-time.Hour))
		}
		home := stock.Layout(t.TempDir())
		path := filepath.Join(home.AgentInfo(), "net01-198.51.100.0")
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
			home = ""
		}
		heardByStock(slot, home.LastHeard(k), now)
		if got := slot.LastSeen(); !got.Equal(tt.want) {
			t.Errorf("%s: last seen %v, want %v", name, got, tt.want)
		}
		var l life
		if l.resume(slot, now); (l.state == awaited) != tt.here {
			t.Errorf("%s: state %v, to be awaited: %v", name, l.state, tt.here)
		}
		received.Close()
	}
}
