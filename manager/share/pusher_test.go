package share

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/manager/fleet"
	"ossecd/manager/fleet/fleettest"
	"ossecd/proto"
)

// A push takes a conversation and nothing else: here there is no network. It begins once the address is known to hear us, ends where the agent
// starts anew, and is not made twice.
func TestPushInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, dir := slog.New(slog.DiscardHandler), t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "agent.conf"), []byte(strings.Repeat("x", 10_000)), 0o600); err != nil {
			t.Fatal(err)
		}
		f := fleettest.New(t, log, "001 web01 any secret1")
		p := New(f.Fleet, nil, dir, log)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { p.Run(ctx); close(ended) }()
		c, addr := f.Conversation("001"), netip.MustParseAddrPort("192.0.2.9:1111")
		report := &proto.Keepalive{Files: []proto.FileSum{{Name: proto.MergedName}}}

		c.Set(addr, fleet.Traits{}, fleet.Asked)
		f.Speak("001", nil)
		f.Speak("001", report)
		time.Sleep(time.Second)
		if got := c.Sent(); len(got) > 0 {
			t.Errorf("%d messages before the address was known to hear us", len(got))
		}
		c.Set(addr, fleet.Traits{}, fleet.Confirmed)
		f.Speak("001", report)
		time.Sleep(20 * time.Millisecond)
		f.Speak("001", nil) // it starts anew
		begun := c.Sent()
		time.Sleep(time.Second)
		if rest := c.Sent(); len(begun) == 0 || len(rest) > 0 {
			t.Errorf("%d messages, and %d after a startup", len(begun), len(rest))
		}
		f.Speak("001", report)
		time.Sleep(time.Second)
		got := c.Sent()
		if len(got) < 3 || !strings.HasSuffix(got[0], proto.MergedName+"\n") || got[len(got)-1] != proto.CloseFile || strings.Join(got[1:len(got)-1], "") != "!10000 agent.conf\n"+strings.Repeat("x", 10_000) {
			t.Errorf("pushed %.60q", got)
		}
		f.Speak("001", report) // before it can have stored them
		time.Sleep(time.Second)
		if got := c.Sent(); len(got) > 0 {
			t.Errorf("pushed twice: %d messages", len(got))
		}
		cancel()
		<-ended
	})
}
