package manager

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/limitlog"
	"ossecd/keys/named"
	"ossecd/keys/readiness"
	"ossecd/manager/enroll"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/manager/stock"
	"ossecd/manager/syslog"
)

// manager is one running manager.
type manager struct {
	cfg      Config
	log      *slog.Logger
	limited  *limitlog.Logger
	store    *keys.Store
	received *keys.Received
	sender   *keys.Sender
	roster   atomic.Pointer[roster]
	refusals *refusals
	watch    *watch
	waves    *waves
	held     heldPresence
	syslog   *syslog.Server
	sinks    *sink.Hub
	orders   orders
	info     *stock.AgentInfo // nil without a stock layout
	pusher   *pusher          // nil without shared files

	enrolment *enroll.Server // nil where it is off

	taking  sync.Mutex // held while keys are taken up
	taken   *keys.Set  // that were taken up last
	lacking bool       // some of them could not be

	used used // next keys that agents have used

	run     string // names this run to agents that are ours
	started time.Time
}

// Run is a manager from start to stop. It returns when ctx ends, after it stopped reading, wrote out what
// waited and saved its counters; or earlier with why it cannot do its job.
func Run(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	for _, w := range cfg.warnings {
		log.Warn("the configuration has an old name", "where", w)
	}
	lock, err := durable.LockDir(cfg.State)
	if err != nil {
		return err
	}
	defer lock.Unlock()

	// Parts start in the order in which they are used, and stop in reverse.
	cfg.tellLeftovers(log)
	m := newManager(cfg, log)
	if err := m.openState(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.closeState()) }()
	if err := m.sinks.Open(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	conns, err := m.openSockets()
	if err != nil {
		m.sinks.Abandon()
		return err
	}
	services, err := m.openServices()
	if err != nil {
		listen.CloseAll(conns)
		m.sinks.Abandon()
		return err
	}
	m.sinks.Start()
	m.sayListening(conns)
	readiness.Announce(ctx)

	err = m.serve(ctx, conns, services)
	began := time.Now()
	flushed := make(chan error, 1)
	go func() { flushed <- m.lastFlush() }()
	err = errors.Join(err, m.sinks.Close(stopWithin), <-flushed)
	log.Info("stopped", append([]any{"took", time.Since(began).Round(time.Millisecond).String()}, m.refusals.summary()...)...)
	return err
}

func newManager(cfg Config, log *slog.Logger) *manager {
	m := &manager{cfg: cfg, log: log, limited: limitlog.New(log), refusals: newRefusals(log)}
	var specs []sink.Spec
	for _, p := range cfg.plans {
		s := p.spec
		s.Open = func(ctx context.Context) (sink.Sink, error) { return p.open(ctx, log) }
		specs = append(specs, s)
	}
	m.sinks = sink.NewHub(specs, log)
	m.run, m.started = rand.Text(), time.Now()
	m.used.kick = make(chan struct{}, 1)
	m.watch, m.waves = newWatch(cfg.DisconnectAfter, m.gone), newWaves()
	return m
}

// serve runs everything that goes on while the manager does, and returns once all of it has ended.
func (m *manager) serve(ctx context.Context, conns []listen.PacketConn, services []service) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all, lookedLast sync.WaitGroup
	run := func(f func(context.Context)) { all.Go(func() { f(ctx) }) }
	for _, c := range conns {
		r, err := m.newReceiver(c)
		if err != nil {
			cancel(err)
			break
		}
		run(func(ctx context.Context) {
			if err := r.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for _, d := range services {
		run(d.run)
	}
	run(m.refusals.run)
	run(m.watch.run)
	run(m.watchWaves)
	run(m.reminders)
	run(m.sumUp)
	run(func(ctx context.Context) { m.store.Watch(ctx, func(*keys.Set) { m.takeUpKeys() }) })
	run(func(ctx context.Context) { every(ctx, restEvery, m.takeUpRest) })
	run(m.hangups)
	run(m.promote)
	run(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case err := <-m.sinks.Gone():
			cancel(err)
		}
	})
	lookedLast.Go(func() { listen.LogDrops(ctx, append(slices.Clip(conns), m.syslog.Conns()...), m.log) })
	run(func(ctx context.Context) { every(ctx, countsEvery, m.sinks.LogCounts) })
	run(func(ctx context.Context) { every(ctx, resetsEvery, m.takeResets) })
	run(func(ctx context.Context) { every(ctx, ridsEvery, func() { m.flushRids(ctx) }) })
	<-ctx.Done()
	lookedLast.Wait() // while the sockets are open
	listen.CloseAll(conns)
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

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

// openState opens keys and counters, and makes the roster of them.
func (m *manager) openState() (err error) {
	if m.store, err = keys.OpenStore(m.cfg.Keys, m.log); err != nil {
		return err
	}
	if m.received, err = keys.OpenReceived(filepath.Join(m.cfg.State, "received")); err != nil {
		return err
	}
	if m.sender, err = keys.OpenSender(m.ridsDir()); err != nil {
		return errors.Join(err, m.received.Close())
	}
	m.takeUpKeys()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // what we keep is large, and what we throw away is little
	}
	debug.FreeOSMemory() // reading many keys leaves as much behind as it makes
	return nil
}

// ridsDir holds the stock counter files.
func (m *manager) ridsDir() string {
	if m.cfg.OssecHome != "" {
		return m.cfg.stock().Rids()
	}
	return filepath.Join(m.cfg.State, "rids")
}

// slots are the received counters of all agents.
func (m *manager) slots(yield func(*keys.Slot) bool) {
	roster := m.roster.Load()
	if roster == nil {
		return
	}
	for _, a := range roster.byID {
		if !yield(a.slot) {
			return
		}
	}
}

// keptSlots are those of all keys that are or were good since we run.
func (m *manager) keptSlots(yield func(*keys.Slot) bool) {
	roster := m.roster.Load()
	for _, some := range []map[string]*agent{roster.byID, roster.gone} {
		for _, a := range some {
			if next := a.spare.Load(); !yield(a.slot) || next != nil && !yield(next.slot) {
				return
			}
		}
	}
}

func (m *manager) closeState() error { return errors.Join(m.received.Close(), m.sender.Close()) }

// lastFlush brings the rids files up to date before the end. What it has no time for is no loss of ours: the
// received counters are kept by themselves, and a later start sees that these files are behind.
func (m *manager) lastFlush() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	_, err := m.received.Flush(ctx, m.ridsDir(), m.slots)
	if errors.Is(err, context.DeadlineExceeded) {
		m.log.Warn("not all rids files are up to date at the end; ossecd's own counters are", "dir", m.ridsDir(), "err", err,
			"remedy", "before a stock manager takes over, let ossecd run for a minute without agents")
		return nil
	}
	return err
}

func (m *manager) openSockets() ([]listen.PacketConn, error) {
	if len(m.cfg.Conns) > 0 {
		return m.cfg.Conns, nil
	}
	var conns []listen.PacketConn
	for _, address := range m.cfg.Listen {
		more, err := listen.Open(address, m.log)
		if err != nil {
			listen.CloseAll(conns)
			return nil, err
		}
		conns = append(conns, more...)
	}
	return conns, nil
}

func (m *manager) sayListening(conns []listen.PacketConn) {
	var sinks []string
	for _, p := range m.cfg.plans {
		sinks = append(sinks, p.spec.Name)
	}
	m.log.Info("started", "version", m.cfg.Version, "keys", m.cfg.Keys, "agents", len(m.roster.Load().byID), "sinks", sinks)
	var addrs []netip.AddrPort
	for _, c := range conns {
		if a := c.LocalAddr(); !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
			attrs := []any{"addr", a.String(), "agents", len(m.roster.Load().byID)}
			if n := listen.Buffer(c); n > 0 {
				attrs = append(attrs, "receive_buffer_bytes", n)
			}
			m.log.Info("listening", attrs...)
		}
	}
	if len(m.roster.Load().byID) == 0 {
		m.log.Warn("no agents yet", "keys", m.cfg.Keys, "remedy", "add one: ossecd keygen add NAME --keys "+m.cfg.Keys+"; ossecd takes it up while it runs")
	}
	if m.cfg.Ready != nil {
		m.cfg.Ready(addrs)
	}
}

// setRoster makes r the roster, and has the agents looked at whose silence already counts.
func (m *manager) setRoster(r *roster) {
	m.roster.Store(r)
	for _, a := range r.byID {
		a.mu.Lock()
		m.watch.look(a)
		a.mu.Unlock()
	}
}

// takeUpKeys takes up the present set of keys. Agents that it must leave out are tried again by takeUpRest.
func (m *manager) takeUpKeys() {
	m.taking.Lock()
	defer m.taking.Unlock()
	set := m.store.Load()
	if set == m.taken && !m.lacking {
		return
	}
	old := m.roster.Load()
	r, err := m.newRoster(set, old)
	if err != nil {
		m.limited.Error("not all keys are in use yet; tried again every "+restEvery.String(), "err", err)
	}
	m.taken, m.lacking = set, err != nil
	m.setRoster(r)
	if old == nil {
		return
	}
	added, removed, changed := 0, 0, 0
	for id, a := range r.byID {
		switch was := old.byID[id]; {
		case was == nil:
			added++
		case was != a:
			changed++
		}
	}
	var gone []*agent
	for id, a := range old.byID {
		if r.byID[id] == nil {
			gone = append(gone, a)
		}
	}
	removed = len(gone)
	m.sayRemoved(gone)
	if m.lacking && added+removed+changed == 0 {
		return
	}
	m.log.Info("keys taken up", "keys", m.cfg.Keys, "agents", len(r.byID), "added", added, "removed", removed, "changed", changed)
}

// takeUpRest takes up the agents that were left out.
func (m *manager) takeUpRest() {
	m.taking.Lock()
	lacking := m.lacking
	m.taking.Unlock()
	if lacking {
		m.takeUpKeys()
	}
}

// hangups reads the keys anew, and has the files of events opened anew, at each value of Config.Hangup.
func (m *manager) hangups(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.cfg.Hangup:
			m.store.Kick()
			m.sinks.Reopen()
		}
	}
}

// takeResets forgets the received counters of agents for which keygen reset-counter asks.
func (m *manager) takeResets() {
	err := keys.TakeResets(m.cfg.State, func(id string) error {
		k, err := named.Find(m.store.Load(), id, m.cfg.Keys) // keygen may not have the file that tells 1 from 001
		if err != nil {
			return err
		}
		a := m.roster.Load().byID[k.ID]
		if a == nil {
			return fmt.Errorf("agent %s: no such agent in %s", id, m.cfg.Keys)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.slot.Reset()
		if s := a.spare.Load(); s != nil {
			s.slot.Reset()
		}
		a.forgetLow()
		m.log.Warn("the received counter of an agent was forgotten, as asked for", "agent", k.ID, "name", a.key.Name)
		return nil
	})
	if err != nil {
		m.limited.Error("requests to forget a counter were not carried out", "err", err)
	}
}

func (m *manager) flushRids(ctx context.Context) {
	if _, err := m.received.Flush(ctx, m.ridsDir(), m.slots); err != nil && ctx.Err() == nil {
		m.limited.Error("the message counters or their rids files are not as they should be", "err", err)
	}
	m.received.Tidy(time.Now(), m.keptSlots)
}
