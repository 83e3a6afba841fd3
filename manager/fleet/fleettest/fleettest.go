// Package fleettest is a fleet whose agents converse in memory, for tests of what builds on one: nothing of it knows what carries messages.
package fleettest

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/manager/fleet"
	"ossecd/proto"
)

// Conversation is one without a network: what is sent stays in it.
type Conversation struct {
	mu        sync.Mutex
	sent      []string
	addr      netip.AddrPort
	traits    fleet.Traits
	confirmed fleet.Confirmation
}

// Set says where the agent is, what it has shown of itself, and whether its address is known to hear us.
func (c *Conversation) Set(addr netip.AddrPort, traits fleet.Traits, confirmed fleet.Confirmation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addr, c.traits, c.confirmed = addr, traits, confirmed
}

// Sent is what was sent since the last call.
func (c *Conversation) Sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.sent
	c.sent = nil
	return all
}

// Send implements fleet.Conversation.
func (c *Conversation) Send(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, string(message))
	return nil
}

// Addr implements fleet.Conversation.
func (c *Conversation) Addr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

// Traits implements fleet.Conversation.
func (c *Conversation) Traits() fleet.Traits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.traits
}

// Account implements fleet.Conversation.
func (c *Conversation) Account() fleet.Account { return fleet.Account{} }

// Confirm implements fleet.Conversation.
func (c *Conversation) Confirm(time.Time) fleet.Confirmation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.confirmed
}

// Fleet is the agents of some lines of a keys file.
type Fleet struct{ *fleet.Fleet }

// New makes a fleet. No goroutine of it runs.
func New(t testing.TB, log *slog.Logger, lines ...string) Fleet {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "client.keys")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := keys.OpenStore(path, log)
	if err != nil {
		t.Fatal(err)
	}
	received, err := keys.OpenReceived(filepath.Join(dir, "received"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { received.Close() })
	f := fleet.New(fleet.Config{
		Keys: path, State: dir, Rids: filepath.Join(dir, "rids"), Store: store, Received: received, Log: log,
		HeardElsewhere: func(keys.Key) (never time.Time) { return never },
		Report:         func(fleet.Event) {},
		Converse:       func(*fleet.Agent, *fleet.Agent) fleet.Conversation { return new(Conversation) },
	})
	f.TakeUpKeys()
	return Fleet{f}
}

// Conversation is that with an agent.
func (f Fleet) Conversation(id string) *Conversation {
	return f.Roster().ByID(id).Conversation().(*Conversation)
}

// Speak has an agent say a startup, or a keepalive.
func (f Fleet) Speak(id string, k *proto.Keepalive) {
	a, now := f.Roster().ByID(id), time.Now()
	f.Heard(a, now, true)
	var report *fleet.Report
	if k != nil {
		report = &fleet.Report{Keepalive: k}
	} else {
		f.Startup(a)
	}
	f.Present(a, now, report)
}
