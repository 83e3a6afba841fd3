package order

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"ossecd/manager/fleet"
	"ossecd/manager/fleet/fleettest"
	"ossecd/proto"
)

// An order goes to the agents that are there, in the form that each reads, whatever carries it.
func TestSend(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	f := fleettest.New(t, log, "001 web01 any secret1", "002 db01 any secret2", "010 web02 any secret3")
	d := NewDispatcher(f.Fleet, log)
	addr := netip.MustParseAddrPort("192.0.2.9:1111")
	f.Conversation("001").Set(addr, fleet.Traits{}, 0)
	f.Conversation("010").Set(addr, fleet.Traits{ReadsJSON: true}, 0)
	f.Speak("001", nil)
	f.Speak("010", nil)

	const text = proto.Execd + "host-deny600 - 192.0.2.1 1 2"
	told, err := d.Send("a test", nil, text)
	if err != nil || fmt.Sprint(told) != "[{001 web01 true } {002 db01 false disconnected} {010 web02 true }]" {
		t.Errorf("told %v, %v", told, err)
	}
	if got := f.Conversation("001").Sent(); len(got) != 1 || got[0] != text {
		t.Errorf("a stock agent got %q", got)
	}
	if got := f.Conversation("010").Sent(); len(got) != 1 || !strings.HasPrefix(got[0], proto.Execd+"{") {
		t.Errorf("one that reads JSON got %q", got)
	}
	if got := f.Conversation("002").Sent(); len(got) > 0 {
		t.Errorf("one that is away got %q", got)
	}
	if got := logged.String(); !strings.Contains(got, `from="a test"`) || !strings.Contains(got, "agents=3 reached=2") {
		t.Errorf("logged %s", got)
	}
	if _, err := d.Send("a test", []string{"001", "003"}, text); err == nil || len(f.Conversation("001").Sent()) > 0 {
		t.Errorf("with an unknown agent: %v", err)
	}
	if told, err := d.Send("a test", []string{"010", "001", "010"}, text); err != nil || len(told) != 2 || told[0].ID != "001" {
		t.Errorf("told %v, %v", told, err)
	}
}
