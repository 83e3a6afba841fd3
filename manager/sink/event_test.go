package sink

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestRecordsKeepAll(t *testing.T) {
	t.Parallel()
	a := NewAgent("00000001", strings.Repeat("n", 128), "!2001:db8::/32")
	var l Lot
	l.Event(a, testNow, math.MaxUint64, netip.MustParseAddrPort("[fe80::1%eth0]:65535"), 0xff, []byte("lo:c\x00"), []byte("m\xff\n"))
	l.Report(a, nil, testNow, "text", Report{Action: Lost, Number: 7})
	l.Report(nil, nil, testNow, "", Report{Action: Connected})
	l.Event(a, testNow, 1, from, '1', nil, nil)
	events := l.Events()
	if l.Len() != 4 || events.Len() != 4 {
		t.Errorf("%d and %d events", l.Len(), events.Len())
	}
	var got []string
	var e Event
	for events.Next(&e) {
		if !e.Time.Equal(testNow) {
			t.Errorf("at %v", e.Time)
		}
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%x|%q|%q|%d|%s|%d", e.ID, e.Name, e.IP, e.Source, e.Queue, e.Location, e.Message, e.Count, e.Action, e.Number))
	}
	who := "00000001|" + strings.Repeat("n", 128) + "|!2001:db8::/32|"
	want := []string{
		who + `[fe80::1%eth0]:65535|ff|"lo:c\x00"|"m\xff\n"|18446744073709551615||0`,
		who + `|31|"ossecd"|"text"|0|events-lost|7`,
		`||||31|"ossecd"|""|0|agent-connected|0`,
		who + `10.0.0.7:40112|31|""|""|1||0`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Two events with one number have an identity of their own each, as after a power cut; those that an earlier version took keep theirs.
func TestIdentity(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, e := range []Event{
		{Serial: 35, Time: time.Unix(0, 36)},
		{Serial: 35, Time: time.Unix(0, 37)},
		{Serial: 36, Time: time.Unix(0, 36)},
		{Serial: 35, Time: time.Unix(0, 36), early: true},
	} {
		id := string(e.AppendIdentity(nil))
		if seen[id] || e.early != (id == "z") {
			t.Errorf("%+v: %s", e, id)
		}
		seen[id] = true
	}
}
