// Package agent is the sending end of the channel: it reads sources and delivers what they say to one of its
// managers.
//
//	source ─┐ Emit                               ┌─ seal, count ── write ─▶ socket
//	source ─┼───────▶ spool ──▶ session, the owner ─┤                            │
//	source ─┘                   of all state        └─ shared files, orders      │
//	                                ▲                                            │
//	                                └── inbox ── open ── judge the count ── read ┘
//
// The [session] is one goroutine with one timer; there is one, or with AllManagers one for each manager. It seals in that goroutine rather than in those of the sources:
// so the state needs no locks, the order of counts is that of sending, and a source reads on while another one's
// events are sealed. Without a spool the session takes batches from Emit itself. A socket has one more goroutine, the receiver, which
// passes on only what was found authentic and fresh, so that noise costs the session nothing. docs/decisions has
// the reasons.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ossecd/agent/collector"
	"ossecd/agent/obey"
	"ossecd/agent/outbox"
	"ossecd/agent/source"
	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/keys/readiness"
	"ossecd/proto"
)

// ErrNotAnswered is how an agent with ExitWhenIdle ends that heard nothing from its manager for TimeReconnect.
var ErrNotAnswered = errors.New("the manager did not answer")

// Run is an agent. It returns nil once ctx has ended, or with ExitWhenIdle once all is sent and answered, and all
// its goroutines have ended. Other errors are those of starting (the configuration, the key, the state directory)
// and of the sources, once the last of them has failed.
func Run(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	asked := cfg.NotifyTime
	cfg = cfg.withDefaults()
	if asked > cfg.NotifyTime {
		log.Warn("keepalives are sent more often than asked for, since time-reconnect is not longer than notify-time",
			"asked", asked, "interval", cfg.NotifyTime, "time_reconnect", cfg.TimeReconnect, "remedy", "set time-reconnect to 3 times notify-time, or leave it out")
	}
	key, warnings, err := cfg.loadKey()
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.Warn("keys", "fault", w)
	}
	lock, err := durable.LockDir(cfg.State)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	defer lock.Unlock()
	if err := cfg.checkStock(); err != nil {
		return err
	}
	from := cfg.collector()
	for _, w := range from.OldNames() {
		log.Warn("the configuration has an old name", "where", w)
	}
	if err := from.Prepare(); err != nil {
		return err
	}
	counts, err := openCounts(&cfg, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, counts.close()) }()
	queue, err := cfg.openSpool(log)
	if err != nil {
		return err
	}
	if queue != nil {
		defer func() { err = errors.Join(err, queue.Close()) }()
	}
	sources, err := from.Make(log)
	if err != nil {
		return err
	}
	responses, err := cfg.responses(log)
	if err != nil {
		return err
	}
	sessions, err := newSessions(&cfg, key, counts, log)
	if err != nil {
		return err
	}
	box := outbox.New(outbox.Config{Spool: queue, Readers: len(sessions), Fill: cfg.shareOf(2), ResendMax: cfg.ResendMax, Finish: cfg.ExitWhenIdle, Log: log})
	mode := "first"
	if cfg.AllManagers {
		mode = "all"
	}
	log.Info("started", "version", cfg.Version, "managers", cfg.Managers, "mode", mode, "sources", len(sources))
	outputs := make([]source.Output, len(sources))
	for i := range sources {
		outputs[i] = box.Awaited(collector.Name(sources[i]), cfg.shareOf(len(sources)))
	}
	var pushed *collector.Pushed
	if cfg.PushedSources {
		output := func(src string) source.Output { return box.Output(src, cfg.shareOf(2)) }
		if pushed, err = collector.NewPushed(from, cfg.sharedDir(), cfg.PushedCommands, output, log); err != nil {
			return err
		}
	}
	for i, s := range sessions {
		orders := obey.Config{Responses: responses}
		if i == 0 && pushed != nil {
			orders.Stored = pushed.Changed
		}
		if err := s.obeyWith(&cfg, i, orders); err != nil {
			return err
		}
		s.out = box.Reader(i)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { counts.keep(ctx, log) })
	if pushed != nil {
		running.Go(func() { pushed.Run(ctx) })
	}
	if responses != nil {
		running.Go(func() {
			if err := responses.Run(ctx, box.Output("", 0)); err != nil {
				log.Error("active responses are not obeyed", "err", err)
			}
		})
	}
	var failed error
	running.Go(func() {
		if failed = collector.Run(ctx, sources, outputs, cfg.ExitWhenIdle, log); failed != nil {
			cancel()
		}
	})
	readiness.Announce(ctx)
	err = runSessions(ctx, sessions)
	box.Close()
	cancel()
	running.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// counts are the agent's message counts, which outlive the process.
type counts struct {
	rids     string // the stock directory
	sender   *keys.Sender
	received *keys.Received

	mu    *sync.Mutex  // guards the first of
	slots []*keys.Slot // one for each manager of the list

	claims *claims // nil with one manager
}

// use has a new slot, of another key, take the place of the first.
func (c *counts) use(s *keys.Slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[0] = s
}

func openCounts(cfg *Config, key keys.Key) (*counts, error) {
	c := &counts{mu: new(sync.Mutex), rids: cfg.ridsDir(), claims: newClaims(cfg)}
	if err := os.MkdirAll(c.rids, 0o750); err != nil {
		return nil, fmt.Errorf("state: %w; make the directory writable for this user", err)
	}
	var err error
	if c.received, err = keys.OpenReceived(filepath.Join(cfg.State, "received")); err != nil {
		return nil, err
	}
	rids, _, err := keys.ReadRids(c.rids, key.ID)
	for _, m := range cfg.Managers {
		if err != nil {
			break
		}
		var address string
		var slot *keys.Slot
		if address, err = managerAddress(m); err == nil {
			slot, err = c.received.Slot(key.ID, key.Secret, address, rids)
		}
		c.slots = append(c.slots, slot)
		rids = proto.Counter{} // the stock file speaks of the first manager alone
	}
	if err == nil {
		c.sender, err = keys.OpenSender(c.rids)
	}
	if err != nil {
		return nil, errors.Join(err, c.received.Close())
	}
	return c, nil
}

// inUse are the slots of the keys that are in use.
func (c *counts) inUse() []*keys.Slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.slots)
}

// flush brings the stock file up to date.
func (c *counts) flush(ctx context.Context) error {
	_, err := c.received.Flush(ctx, c.rids, func(yield func(*keys.Slot) bool) {
		c.mu.Lock()
		first := c.slots[0]
		c.mu.Unlock()
		yield(first)
	})
	return err
}

// keep calls flush now and then until ctx ends.
func (c *counts) keep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(ridsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.flush(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the message counters or their rids file are not as they should be", "err", err)
		}
		c.received.Tidy(time.Now(), slices.Values(c.inUse()))
	}
}

func (c *counts) close() error {
	return errors.Join(c.flush(context.Background()), c.sender.Close(), c.received.Close())
}
