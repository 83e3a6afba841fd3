package report

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/manager/fleet"
	"ossecd/manager/sink"
)

// kept keeps events, as the lines that a sink writes, and says whether the first counts toward somebody's share.
type kept struct{ lines []string }

func (k *kept) Put(l *sink.Lot, _ bool) uint64 {
	var e sink.Event
	var lines sink.JSON
	for all := l.Events(); all.Next(&e); {
		k.lines = append(k.lines, string(lines.Append(nil, &e)))
	}
	return 0
}

func TestReports(t *testing.T) {
	t.Parallel()
	key, err := keys.ParseLine("001 web01 any secret")
	if err != nil {
		t.Fatal(err)
	}
	a := &fleet.Agent{Credential: fleet.Credential{Key: key}, Source: sink.NewAgent("001", "web01", "any")}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	heard, here, there := at.Add(-90*time.Second), netip.MustParseAddrPort("192.0.2.9:1111"), netip.MustParseAddrPort("192.0.2.10:1111")
	for _, tt := range []struct {
		event  fleet.Event
		text   string
		member string // what stands in the line's member "event"
	}{
		{fleet.Event{Kind: fleet.Connected, Agent: a, ByItself: true}, "ossec: Agent connected: 'web01-any'.", `{"action":"agent-connected"}`},
		{fleet.Event{Kind: fleet.Connected, Agent: a, LastSeen: heard, Outage: 90 * time.Second, Untold: 2}, "ossec: Agent connected: 'web01-any'.",
			`{"action":"agent-connected","last_seen":"2026-11-30T11:58:30.000000Z","outage":90,"untold":2}`},
		{fleet.Event{Kind: fleet.Disconnected, Agent: a, LastSeen: heard, Source: here, Interval: time.Minute, Reason: "silent"}, "ossec: Agent disconnected: 'web01-any'.",
			`{"action":"agent-disconnected","last_seen":"2026-11-30T11:58:30.000000Z","source":"192.0.2.9:1111","interval":60,"reason":"silent"}`},
		{fleet.Event{Kind: fleet.StillDisconnected, Agent: a, Outage: time.Hour}, "ossec: Agent still disconnected: 'web01-any'.", `{"action":"agent-still-disconnected","outage":3600}`},
		{fleet.Event{Kind: fleet.Cloned, Agent: a, Source: here, Other: there}, "ossec: Agent key used by two hosts: 'web01-any' (192.0.2.9:1111 and 192.0.2.10:1111).",
			`{"action":"agent-cloned","source":"192.0.2.9:1111","other":"192.0.2.10:1111"}`},
		{fleet.Event{Kind: fleet.ManyDisconnected, Count: 20, Of: 30, First: heard, Last: at}, "ossecd: 20 of 30 agents disconnected at about the same time.",
			`{"action":"agents-disconnected","count":20,"of":30,"back":0,"first":"2026-11-30T11:58:30.000000Z","last":"2026-11-30T12:00:00.000000Z"}`},
		{fleet.Event{Kind: fleet.ManyStill, Count: 20}, "ossecd: 20 agents are still disconnected.", `{"action":"agents-still-disconnected","count":20}`},
	} {
		var k kept
		tt.event.At = at
		To(&k)(tt.event)
		var line struct {
			FullLog string `json:"full_log"`
			Event   json.RawMessage
			Agent   *struct{ ID string }
		}
		if len(k.lines) != 1 {
			t.Fatalf("%d lines", len(k.lines))
		}
		if err := json.Unmarshal([]byte(k.lines[0]), &line); err != nil {
			t.Fatal(err)
		}
		if line.FullLog != tt.text || strings.ReplaceAll(string(line.Event), " ", "") != tt.member || (line.Agent != nil) != (tt.event.Agent != nil) {
			t.Errorf("%+v:\n%s", tt.event, k.lines[0])
		}
	}
}
