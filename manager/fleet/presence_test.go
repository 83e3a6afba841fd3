package fleet

import (
	"path/filepath"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// While a stock manager served in our place it set the times of the agents' files: what it heard is no outage.
func TestStockManagerHeardAgents(t *testing.T) {
	t.Parallel()
	now := time.Now()
	last := now.Add(-15 * time.Minute).Truncate(time.Second)
	for name, tt := range map[string]struct {
		file time.Time
		want time.Time
		here bool // it is taken to be there, and has its full waiting time
	}{
		"heard by it":              {file: now.Add(-5 * time.Second), want: now.Add(-5 * time.Second).Truncate(time.Second), here: true},
		"its last keepalive":       {file: now.Add(-10 * time.Minute), want: now.Add(-10 * time.Minute).Truncate(time.Second), here: true},
		"not heard since":          {file: last.Add(-time.Hour), want: last},
		"a clock set back":         {file: now.Add(time.Hour), want: last},
		"never":                    {want: last},
		"silent when we took over": {file: now.Add(-31 * time.Minute), want: now.Add(-31 * time.Minute).Truncate(time.Second)},
	} {
		received, err := keys.OpenReceived(filepath.Join(t.TempDir(), "received"))
		if err != nil {
			t.Fatal(err)
		}
		slot, err := received.Slot("003", "secret", "", proto.Counter{})
		if err != nil {
			t.Fatal(err)
		}
		if slot.SetLastSeen(last); name == "silent when we took over" {
			slot.SetLastSeen(now.Add(-time.Hour))
		}
		heardByStock(slot, tt.file, now)
		if got := slot.LastSeen(); !got.Equal(tt.want) {
			t.Errorf("%s: last seen %v, want %v", name, got, tt.want)
		}
		var p presence
		if p.resume(slot, now); (p.state == awaited) != tt.here {
			t.Errorf("%s: state %v, to be awaited: %v", name, p.state, tt.here)
		}
		received.Close()
	}
}
