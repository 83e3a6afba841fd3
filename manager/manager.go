package manager

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/metrics"
	"ossecd/keys/readiness"
	"ossecd/manager/channel"
	"ossecd/manager/control"
	"ossecd/manager/enroll"
	"ossecd/manager/fleet"
	"ossecd/manager/journal"
	"ossecd/manager/listen"
	"ossecd/manager/order"
	"ossecd/manager/report"
	"ossecd/manager/share"
	"ossecd/manager/sink"
	"ossecd/manager/stock"
	"ossecd/manager/syslog"
)

const (
	// stopWithin is what a stop may take to write out what waits; the whole has 2 s.
	stopWithin = 1700 * time.Millisecond

	countsEvery = 10 * time.Minute // how often the counts of sinks are logged, where they changed
)

// service is a part that is open. run works until its context ends and closes it; close is for where there will be no run.
type service struct {
	run   func(context.Context)
	close func()
}

// manager is the parts of one running manager.
type manager struct {
	cfg     Config
	log     *slog.Logger
	run     string // names this run
	started time.Time

	kept     *sink.Kept
	store    *keys.Store
	received *keys.Received
	sender   *keys.Sender
	sinks    *sink.Sinks
	channel  *channel.Channel
	fleet    *fleet.Fleet
	conns    []listen.PacketConn // of agents
	streams  *listen.Streams     // likewise; nil where none is asked for
	others   []listen.PacketConn // of plain syslog
	services []service
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
	m := newManager(cfg, log)
	if err := m.openJournal(); err != nil {
		return err
	}
	started := false
	defer func() {
		if !started {
			m.sinks.CloseJournal()
		}
	}()
	if err := m.openState(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.received.Close(), m.sender.Close()) }()
	if err := m.sinks.Open(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	if err = m.openSockets(); err == nil {
		err = m.openServices()
	}
	if err != nil {
		m.closeServices()
		m.closeSockets()
		m.sinks.Abandon()
		return err
	}
	started = true
	m.sinks.Start()
	m.sayListening()
	readiness.Announce(ctx)

	err = m.serve(ctx)
	began := time.Now()
	flushed := make(chan error, 1)
	go func() {
		within, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		flushed <- m.fleet.Flush(within)
	}()
	err = errors.Join(err, m.sinks.Close(stopWithin), <-flushed)
	log.Info("stopped", append([]any{"took", time.Since(began).Round(time.Millisecond).String()}, m.channel.Summary()...)...)
	return err
}

func newManager(cfg Config, log *slog.Logger) *manager {
	m := &manager{cfg: cfg, log: log, run: rand.Text(), started: time.Now()}
	m.sinks = sink.New(cfg.plans, sink.Env{State: cfg.State, Log: log})
	return m
}

// openJournal opens the journal of events.
func (m *manager) openJournal() error {
	dir, j := filepath.Join(m.cfg.State, journalDir), m.cfg.Journal
	m.kept = sink.NewKept(dir)
	err := m.sinks.OpenJournal(journal.Config{
		Dir: dir, Limit: int64(j.Size) << 20, Keep: j.Keep, Sync: j.Sync, Memory: j.QueueSize << 20, Share: j.AgentShare, Visit: m.kept.Visit,
	})
	if err == nil {
		sink.LogLeftovers(m.sinks, filepath.Join(m.cfg.State, sinksDir))
	}
	return err
}

// openState opens keys and counters, and makes the fleet of them.
func (m *manager) openState() (err error) {
	if m.store, err = keys.OpenStore(m.cfg.Keys, m.log); err != nil {
		return err
	}
	if m.received, err = keys.OpenReceived(filepath.Join(m.cfg.State, "received")); err != nil {
		return err
	}
	rids := m.cfg.stock().Rids()
	if rids == "" {
		rids = filepath.Join(m.cfg.State, "rids")
	}
	if m.sender, err = keys.OpenSender(rids); err != nil {
		return errors.Join(err, m.received.Close())
	}
	m.channel, err = channel.New(channel.Config{Run: m.run, Accepts: m.cfg.accepts, State: m.cfg.State, Sender: m.sender, Events: m.sinks, Log: m.log})
	if err != nil {
		return errors.Join(err, m.received.Close(), m.sender.Close())
	}
	m.fleet = fleet.New(fleet.Config{
		Keys: m.cfg.Keys, State: m.cfg.State, Rids: rids, Store: m.store, Received: m.received, Groups: m.cfg.groups,
		DisconnectAfter: m.cfg.DisconnectAfter, RemindAfter: m.cfg.RemindAfter, HeardElsewhere: m.cfg.stock().LastHeard,
		KeptBefore: m.kept.Before, Report: report.To(m.sinks), Converse: m.channel.Converse, Log: m.log,
	})
	m.channel.Join(m.fleet)
	m.fleet.TakeUpKeys()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // what we keep is large, and what we throw away is little
	}
	debug.FreeOSMemory() // reading many keys leaves as much behind as it makes
	return nil
}

func (m *manager) openSockets() error {
	m.conns = m.cfg.Conns
	if len(m.conns) > 0 {
		return nil
	}
	for _, text := range m.cfg.Listen {
		network, address, err := listen.ParseAddress(text)
		if err != nil {
			return err
		}
		if network == listen.TCP {
			if m.streams == nil {
				m.streams = listen.NewStreams(m.log)
			}
			if err := m.streams.Open(address); err != nil {
				return err
			}
			continue
		}
		more, err := listen.Open(address, m.log)
		if err != nil {
			return err
		}
		m.conns = append(m.conns, more...)
	}
	return nil
}

func (m *manager) closeSockets() {
	listen.CloseAll(m.conns)
	if m.streams != nil {
		m.streams.Close()
	}
}

// openServices opens what else the configuration asks for.
func (m *manager) openServices() (err error) {
	orders := order.NewDispatcher(m.fleet, m.log)
	files := share.New(m.fleet, m.cfg.groups, m.cfg.Shared, m.log)
	m.services = []service{{m.channel.Run, func() {}}, {m.fleet.Run, func() {}}, {files.Run, func() {}}}
	plain, err := syslog.Open(m.cfg.syslog, m.sinks, m.log)
	if err != nil {
		return err
	}
	m.others = plain.Conns()
	m.services = append(m.services, service{plain.Run, plain.Close})
	var enrolled func() (uint64, map[string]uint64)
	if e := m.cfg.enrolment(); e.Listen != "" {
		e.Silence, e.TakeUp = m.fleet.Silence, m.fleet.TakeUpNow
		server, err := enroll.Listen(e, m.log)
		if err != nil {
			return err
		}
		m.services, enrolled = append(m.services, service{server.Run, server.Close}), server.Counts
	}
	insight := control.Config{
		Path: m.cfg.Control, Keys: m.cfg.Keys, Run: m.run, Version: m.cfg.Version, Started: m.started, Store: m.store, Fleet: m.fleet, Orders: orders,
		Refused: m.channel.Refused, Sinks: func() iter.Seq2[string, journal.Counts] { return m.sinks.Counts() }, Held: m.sinks.Held, JournalLimit: int64(m.cfg.Journal.Size) << 20,
		Events: m.channel.Taken, Lost: m.sinks.Lost,
		Dropped: func() (uint64, bool) { return listen.Dropped(append(slices.Clip(m.conns), m.others...)) }, Enroll: enrolled, Log: m.log,
	}
	if m.cfg.HTTPListen != "" {
		s, err := metrics.Open(metrics.Config{
			Listen: m.cfg.HTTPListen, TokenFile: m.cfg.HTTPTokenFile, Collect: insight.Collect,
			Alive: func() error { return nil }, Ready: m.ready, Log: m.log,
		})
		if err != nil {
			return err
		}
		m.services = append(m.services, service{s.Run, s.Close})
	}
	if m.cfg.Control != "" {
		s, err := control.Open(insight)
		if err != nil { // events matter more
			m.log.Warn("there is no control socket", "err", err)
		} else {
			m.services = append(m.services, service{s.Run, s.Close})
		}
	}
	if m.cfg.OssecHome == "" {
		return nil
	}
	info, err := stock.OpenAgentInfo(m.cfg.stock(), m.log)
	if err != nil {
		return err
	}
	m.fleet.OnKeepalive(func(a *fleet.Agent, r *fleet.Report) { info.Note(a.Key, r.Text, r.Method) })
	m.services = append(m.services, service{info.Run, info.Close})
	queue, err := order.ListenQueue(m.cfg.stock().ARQueue(), m.cfg.stock().AnalysisQueue(), m.log)
	if err != nil {
		return err
	}
	m.services = append(m.services, service{func(ctx context.Context) { orders.ServeQueue(ctx, queue) }, queue.Close})
	return nil
}

// ready says what keeps a manager that listens from doing its job.
func (m *manager) ready() error {
	if m.sinks.Failing() {
		return errors.New("the journal takes no events; look at its disk")
	}
	return nil
}

func (m *manager) closeServices() {
	for _, s := range m.services {
		s.close()
	}
}

// serve runs everything that goes on while the manager does, and returns once all of it has ended.
func (m *manager) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all, lookedLast sync.WaitGroup
	for _, c := range m.conns {
		all.Go(func() {
			if err := m.channel.Receive(ctx, c); err != nil {
				cancel(err)
			}
		})
	}
	if m.streams != nil {
		all.Go(func() {
			if err := m.channel.ReceiveStreams(ctx, m.streams); err != nil {
				cancel(err)
			}
		})
	}
	for _, s := range m.services {
		all.Go(func() { s.run(ctx) })
	}
	lookedLast.Go(func() { listen.LogDrops(ctx, append(slices.Clip(m.conns), m.others...), m.log) })
	all.Go(func() { m.watch(ctx, cancel) })
	<-ctx.Done()
	lookedLast.Wait() // while the sockets are open
	m.closeSockets()
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// watch logs the sinks' counts, has files read and opened anew at each value of Config.Hangup, and ends all when a sink is gone for good.
func (m *manager) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	counts := time.NewTicker(countsEvery)
	defer counts.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-counts.C:
			m.sinks.LogCounts()
		case <-m.cfg.Hangup:
			m.store.Kick()
			m.sinks.Reopen()
		case err := <-m.sinks.Gone():
			cancel(err)
			return
		}
	}
}

func (m *manager) sayListening() {
	var sinks []string
	for _, p := range m.cfg.plans {
		sinks = append(sinks, p.Name)
	}
	m.log.Info("started", "version", m.cfg.Version, "keys", m.cfg.Keys, "agents", m.fleet.Roster().Len(), "sinks", sinks)
	var addrs []netip.AddrPort
	for _, c := range m.conns {
		if a := c.LocalAddr(); !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
			attrs := []any{"addr", a.String(), "network", listen.UDP, "agents", m.fleet.Roster().Len()}
			if n := listen.Buffer(c); n > 0 {
				attrs = append(attrs, "receive_buffer_bytes", n)
			}
			m.log.Info("listening", attrs...)
		}
	}
	if m.streams != nil {
		for _, a := range m.streams.Addrs() {
			addrs = append(addrs, a)
			m.log.Info("listening", "addr", a.String(), "network", listen.TCP, "agents", m.fleet.Roster().Len())
		}
	}
	if m.fleet.Roster().Len() == 0 {
		m.log.Warn("no agents yet", "keys", m.cfg.Keys, "remedy", "add one: ossecd keygen add NAME --keys "+m.cfg.Keys+"; ossecd takes it up while it runs")
	}
	if m.cfg.Ready != nil {
		m.cfg.Ready(addrs)
	}
}
