package fleet

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/keys"
)

const (
	anyLine    = "001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	fixedLine  = "002 db01 192.0.2.7 0f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	subnetLine = "003 net01 198.51.100.0/24 1f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
)

// inMemory is a conversation without a network: what is sent stays in it.
type inMemory struct {
	addr   netip.AddrPort
	traits Traits

	mu   sync.Mutex
	sent []string
}

func (c *inMemory) Send(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, string(message))
	return nil
}

func (c *inMemory) Addr() netip.AddrPort { return c.addr }
func (c *inMemory) Traits() Traits       { return c.traits }

func (c *inMemory) Account() Account { return Account{} }

func (c *inMemory) Confirm(time.Time) Confirmation { return Confirmed }

// rig is a fleet whose agents converse in memory.
type rig struct {
	*Fleet
	t    *testing.T
	dir  string
	logs bytes.Buffer

	mu     sync.Mutex
	events []Event
}

func newRig(t *testing.T, lines ...string) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	r.writeKeys(lines...)
	r.open(Config{})
	return r
}

func (r *rig) writeKeys(lines ...string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "client.keys"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// open opens the fleet, as after a start of the manager.
func (r *rig) open(cfg Config) {
	r.t.Helper()
	var err error
	cfg.Log = slog.New(slog.NewTextHandler(&r.logs, nil))
	cfg.Keys, cfg.State, cfg.Rids = filepath.Join(r.dir, "client.keys"), r.dir, filepath.Join(r.dir, "rids")
	if cfg.Store, err = keys.OpenStore(cfg.Keys, cfg.Log); err != nil {
		r.t.Fatal(err)
	}
	if cfg.Received, err = keys.OpenReceived(filepath.Join(r.dir, "received")); err != nil {
		r.t.Fatal(err)
	}
	cfg.HeardElsewhere = func(keys.Key) (never time.Time) { return never }
	cfg.Converse = func(*Agent, *Agent) Conversation { return &inMemory{addr: netip.MustParseAddrPort("192.0.2.9:1111")} }
	cfg.Report = func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	r.Fleet = New(cfg)
	r.TakeUpKeys()
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.cfg.Received.Close(); err != nil {
		r.t.Error(err)
	}
}

// kinds are the events so far.
func (r *rig) kinds() (all []Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		all = append(all, e.Kind)
	}
	return all
}
