package system

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent"
	"ossecd/agent/source"
	"ossecd/manager"
	"ossecd/manager/listen"
	"ossecd/proto/simnet"
)

// Two agents on one key, with all intervals as they are by default, and nothing to say for themselves: a cloned machine
// is reported within a minute of the second one's start, whatever its copy of the state is.
func TestIdleClones(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		copies        bool          // the clone has a copy of the other one's state
		before, after time.Duration // from the start of the first one to the copy, from that to the start of the second
	}{
		{"no state", false, 10 * time.Minute, 0},
		{"no state, at the same moment", false, 0, 0},
		{"state of one that just began", true, time.Second, time.Minute},
		{"state of one that runs", true, 10 * time.Minute, 0},
		{"state of one that runs, an hour old", true, 10 * time.Minute, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				keyFile := filepath.Join(dir, "client.keys")
				const line = "001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb\n"
				if err := os.WriteFile(keyFile, []byte(line), 0o600); err != nil {
					t.Fatal(err)
				}
				network := simnet.New(1, simnet.Conditions{Delay: 5 * time.Millisecond})
				address := netip.MustParseAddrPort("203.0.113.5:1514")
				conn, err := network.Listen(address)
				if err != nil {
					t.Fatal(err)
				}
				var out, logs lockedBuffer
				log := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
				ctx, stop := context.WithCancel(t.Context())
				var all sync.WaitGroup
				defer all.Wait()
				defer stop()
				ready := make(chan struct{})
				all.Go(func() {
					cfg := manager.Config{Keys: keyFile, State: filepath.Join(dir, "manager"), Out: &out,
						Conns: []listen.PacketConn{conn}, Ready: func([]netip.AddrPort) { close(ready) }}
					if err := manager.Run(ctx, cfg, log); err != nil {
						t.Error(err)
					}
				})
				<-ready
				start := func(host, state string) {
					all.Go(func() {
						cfg := agent.Config{Keys: keyFile, State: state, Managers: []string{"udp://" + address.String()}, Intake: agent.Intake{Sources: []source.Source{new(mute)}},
							NotifyTime: 5 * time.Minute, TimeReconnect: 15 * time.Minute,
							Dial: network.DialFrom(netip.MustParseAddr(host))}
						if err := agent.Run(ctx, cfg, log.With("host", host)); err != nil {
							t.Error(err)
						}
					})
				}
				state, clone := filepath.Join(dir, "state"), filepath.Join(dir, "clone")
				start("192.0.2.1", state)
				time.Sleep(tt.before)
				if tt.copies {
					if err := os.CopyFS(clone, os.DirFS(state)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(tt.after)
				if strings.Contains(out.String(), "agent-cloned") {
					t.Errorf("one host alone is reported: %s", &out)
				}
				start("192.0.2.2", clone)
				time.Sleep(time.Minute)
				got := out.String()
				if n := strings.Count(got, "agent-cloned"); n != 1 || !strings.Contains(got, "192.0.2.1:") || !strings.Contains(got, "192.0.2.2:") {
					t.Errorf("reported %d times:\n%s\n%s", n, got, &logs)
				}
			})
		})
	}
}

// mute is a source that says nothing.
type mute struct{}

func (*mute) Run(ctx context.Context, _ source.Output) error {
	<-ctx.Done()
	return nil
}
