// Package fleet is the agents: who they are, by the keys file; which addresses they may have; whether they are there; and their keys'
// rotation. It tells what it finds out in typed events, after its locks are released, and knows nothing of sockets.
//
//	in:   Heard, Startup, Present (with a keepalive), Goodbye, Cloned, of a conversation
//	out:  Event: connected, disconnected, still disconnected, many of them, cloned
package fleet

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/proto"
)

// Config is what a Fleet is told.
type Config struct {
	Keys     string // path of client.keys
	State    string // directory in which keygen asks for things
	Rids     string // directory of the stock counter files
	Store    *keys.Store
	Received *keys.Received
	Groups   []Group

	// DisconnectAfter is the silence after which an agent is reported; 0 goes by each agent's own keepalive interval.
	DisconnectAfter time.Duration
	// RemindAfter is how often an agent that is away is reported again; 0 is never.
	RemindAfter time.Duration

	// KeptBefore is the highest count of an agent's key that earlier runs are known to have kept; nil for all that were received.
	KeptBefore func(*keys.Slot) uint64
	// HeardElsewhere is when a stock manager last heard an agent before we started; zero if never.
	HeardElsewhere func(keys.Key) time.Time
	// Report takes what happens. No lock is held.
	Report func(Event)
	// Converse begins the conversation with an agent. was is the agent that it takes the place of, or nil: its KEY is the same, or a is
	// what that was to become by its next key.
	Converse func(a, was *Agent) Conversation

	Log *slog.Logger
}

// Fleet is all agents. Its methods may be called by many goroutines.
type Fleet struct {
	cfg     Config
	log     *slog.Logger
	limited *limitlog.Logger

	onStartup   []func(*Agent)
	onKeepalive []func(*Agent, *Report)

	roster   atomic.Pointer[Roster]
	keyring  *keyring
	promoter *promoter
	watch    *watch
	mass     *massOutage
	held     heldChanges
	outbox   outbox
}

// New makes the fleet of the keys as they are.
func New(cfg Config) *Fleet {
	f := &Fleet{cfg: cfg, log: cfg.Log, limited: limitlog.New(cfg.Log)}
	f.watch = newWatch(cfg.DisconnectAfter, f.silent, f.outbox.deliver)
	f.mass = newMassOutage(f.present, f.tellMass)
	f.keyring = &keyring{f: f, counters: counters{f}}
	f.promoter = &promoter{f: f, kick: make(chan struct{}, 1)}
	return f
}

// TakeUpKeys takes up the keys as the store has them. It must have been called once before all else.
func (f *Fleet) TakeUpKeys() { f.keyring.takeUp() }

// Run keeps the fleet as the keys file and the agents' silence have it, until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, run := range []func(context.Context){
		f.watch.run, f.mass.run, (&reminders{f}).run, f.sumUp, f.keyring.run, f.promoter.run,
	} {
		all.Go(func() { run(ctx) })
	}
	all.Wait()
}

// OnStartup has each startup of an agent's program told. Call it before anything is heard.
func (f *Fleet) OnStartup(tell func(*Agent)) { f.onStartup = append(f.onStartup, tell) }

// OnKeepalive has each keepalive told, likewise. No lock of the fleet is held.
func (f *Fleet) OnKeepalive(tell func(*Agent, *Report)) { f.onKeepalive = append(f.onKeepalive, tell) }

// Roster is the present set of agents.
func (f *Fleet) Roster() *Roster { return f.roster.Load() }

// Has says that an agent is one of the present set: its key was neither removed nor changed.
func (f *Fleet) Has(a *Agent) bool { return f.Roster().byID[a.Key.ID] == a }

// TakeUpNow takes up changes of the keys file, and returns once they are in force.
func (f *Fleet) TakeUpNow() {
	f.cfg.Store.TakeUp(func(*keys.Set) {})
	f.keyring.takeUp()
}

// Silence is how long an agent has been away. An agent that never spoke is away since we know it, or since our start. It
// is 0 for one that is there, or whose key we do not have.
func (f *Fleet) Silence(id string) time.Duration {
	a := f.Roster().ByID(id)
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.presence.state != disconnected {
		return 0
	}
	since := a.presence.lastSeen
	if since.IsZero() {
		since = a.Slot.LastSeen()
	}
	if since.IsZero() {
		since = time.Unix(a.since, 0)
	}
	return max(0, time.Since(since))
}

// Cloned takes that two hosts use an agent's key.
func (f *Fleet) Cloned(a *Agent, now time.Time, source, other netip.AddrPort) {
	f.cfg.Report(Event{Kind: Cloned, At: now, Agent: a, Source: source, Other: other})
	f.log.Error("two hosts use one key; what one of them sends is refused", "agent", a.Key.ID, "name", a.Key.Name, "source", source.String(), "other", other.String(),
		"remedy", "give each host a key of its own (ossecd keygen add, or enrolment), and remove keys file and state directory from the image that they were made from")
}

// UsesNext takes that an agent uses its next key. It may be called with the lock of a conversation held.
func (f *Fleet) UsesNext(next *Credential) { f.promoter.add(next.Key) }

// Flush brings the rids files up to date before the end. What it has no time for is no loss of ours: the
// received counters are kept by themselves, and a later start sees that these files are behind.
func (f *Fleet) Flush(ctx context.Context) error {
	_, err := f.cfg.Received.Flush(ctx, f.cfg.Rids, f.Roster().slots)
	if errors.Is(err, context.DeadlineExceeded) {
		f.log.Warn("not all rids files are up to date at the end; ossecd's own counters are", "dir", f.cfg.Rids, "err", err,
			"remedy", "before a stock manager takes over, let ossecd run for a minute without agents")
		return nil
	}
	return err
}

// Report is a keepalive of an agent.
type Report struct {
	*proto.Keepalive
	Text   []byte // as it came
	Method proto.Method
}

// present is how many agents are there, or awaited.
func (f *Fleet) present() (n int) {
	for _, a := range f.Roster().byID {
		if !a.Disconnected() {
			n++
		}
	}
	return n
}

// tellMass reports a mass outage that has ended.
func (f *Fleet) tellMass(lost map[*Agent]loss, now time.Time) {
	e := Event{Kind: ManyDisconnected, At: now, Count: len(lost), First: now}
	for a, l := range lost {
		if l.at.Before(e.First) {
			e.First = l.at
		}
		if l.at.After(e.Last) {
			e.Last = l.at
		}
		if l.heard.After(e.LastSeen) {
			e.LastSeen = l.heard
		}
		if a.Present() {
			e.Back++
		}
	}
	e.Of = f.present() - e.Back + e.Count
	f.cfg.Report(e)
	f.log.Error("many agents disconnected at about the same time", "count", e.Count, "of", e.Of, "back_already", e.Back,
		"remedy", "check the network between them and this host first")
}

// every calls f at intervals until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}
