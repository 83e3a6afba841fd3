package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	"ossecd/keys"
	"ossecd/manager"
	"ossecd/manager/listen"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

// ticker emits a numbered event at each interval.
type ticker struct {
	interval time.Duration
	mu       sync.Mutex
	sent     int
}

func (k *ticker) Run(ctx context.Context, out source.Output) error {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(k.interval):
		}
		if _, err := out.Emit(ctx, []source.Event{{Queue: '1', Location: "ticker", Message: fmt.Append(nil, n)}}); err != nil {
			return nil
		}
		k.mu.Lock()
		k.sent = n
		k.mu.Unlock()
	}
}

func (k *ticker) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sent
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An agent and a manager on a network that loses, repeats and reorders: no event comes out twice, what the network
// did not lose comes out, and once the network is well again all is as if it had never been ill.
func TestPairOnABadNetwork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		method := []proto.Method{proto.Blowfish, proto.AES}[seed%2]
		dialect := []proto.Dialect{proto.OSSEC, proto.Wazuh}[seed/2]
		t.Run(fmt.Sprint(method, "-", dialect), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { playPair(t, seed, method, dialect) })
		})
	}
}

func playPair(t *testing.T, seed uint64, method proto.Method, dialect proto.Dialect) {
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "client.keys")
	k, err := keys.ParseLine("001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, []byte(k.Line()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	net := simnet.New(seed, simnet.Conditions{Loss: 0.1, Repeat: 0.1, Reorder: 0.1, Delay: 5 * time.Millisecond, Jitter: 40 * time.Millisecond})
	address := netip.MustParseAddrPort("203.0.113.5:1514")
	var out, logs lockedBuffer
	log := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(stop)

	startManager := func() (end func()) {
		conn, err := net.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		ready := make(chan struct{})
		all.Go(func() {
			defer close(ended)
			cfg := manager.Config{Keys: keyFile, State: filepath.Join(dir, "manager"), Out: &out,
				Conns: []listen.PacketConn{conn}, Ready: func([]netip.AddrPort) { close(ready) }}
			if err := manager.Run(ctx, cfg, log); err != nil {
				t.Error(err)
			}
		})
		<-ready
		return func() { cancel(); <-ended }
	}
	end := startManager()
	ticks := &ticker{interval: 250 * time.Millisecond}
	all.Go(func() {
		cfg := agent.Config{Keys: keyFile, State: filepath.Join(dir, "agent"), Managers: []string{"udp://" + address.String()},
			Intake: agent.Intake{Sources: []source.Source{ticks}}, Method: method, Dialect: dialect, NotifyTime: 10 * time.Second, Dial: net.Dial}
		if err := agent.Run(ctx, cfg, log); err != nil {
			t.Error(err)
		}
	})

	time.Sleep(20 * time.Minute)
	net.Cut(address.Addr())
	time.Sleep(3 * time.Minute)
	net.Heal(address.Addr())
	time.Sleep(5 * time.Minute)
	end() // the manager is restarted
	time.Sleep(10 * time.Second)
	startManager()
	time.Sleep(10 * time.Minute)
	ill := ticks.count()
	if ill < 3000 {
		t.Errorf("only %d events were sent in 38 minutes", ill)
	}
	net.SetConditions(simnet.Conditions{})
	time.Sleep(3 * time.Minute) // whatever was under way has come to rest
	well := ticks.count()
	time.Sleep(time.Minute)
	last := ticks.count()
	if last-well < 230 {
		t.Errorf("on a good network %d events were sent in a minute", last-well)
	}
	stop()
	all.Wait()

	times := map[string]int{}
	connected, disconnected := 0, 0
	for line := range strings.Lines(out.String()) {
		var e struct {
			Location string
			FullLog  string `json:"full_log"`
			Event    struct{ Action string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		switch {
		case e.Location == "ticker":
			times[e.FullLog]++
		case e.Event.Action == "agent-connected":
			connected++
		case e.Event.Action == "agent-disconnected":
			disconnected++
		}
	}
	missing := 0
	for n := 1; n <= last; n++ {
		switch c := times[fmt.Sprint(n)]; {
		case c > 1:
			t.Errorf("event %d came out %d times", n, c)
		case c == 0 && n > well:
			t.Errorf("event %d was lost on a good network", n)
		case c == 0:
			missing++
		}
	}
	if share := float64(missing) / float64(ill); share > 0.25 {
		t.Errorf("%d of %d events missing, with a tenth lost and an outage of 3 minutes", missing, ill)
	}
	if connected < 2 || connected > disconnected+2 {
		t.Errorf("reported connected %d times, disconnected %d times", connected, disconnected)
	}
	if t.Failed() {
		t.Log(logs.String())
	}
}
