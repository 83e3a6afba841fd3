// Package agent is the sending end of the channel: it reads sources and delivers what they say to one of its
// managers, or to all of them.
//
//	sources ─▶ outbox ─▶ link ─▶ conversation ─▶ socket
//	                       └─ orders
//
// A link is one goroutine with one timer; there is one, or with AllManagers one for each manager. It seals in that goroutine rather than in
// those of the sources: so its state needs no locks, and a source reads on while another one's events are sealed. This package assembles
// the parts and runs them; docs/decisions has the reasons.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"ossecd/agent/channel"
	"ossecd/agent/collector"
	"ossecd/agent/link"
	"ossecd/agent/obey"
	"ossecd/agent/outbox"
	"ossecd/agent/shared"
	"ossecd/agent/source"
	"ossecd/agent/status"
	"ossecd/keys/durable"
	"ossecd/keys/metrics"
	"ossecd/keys/readiness"
)

// ErrNotAnswered is how an agent with ExitWhenIdle ends that heard nothing from its manager for TimeReconnect.
var ErrNotAnswered = link.ErrNotAnswered

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
	addresses := cfg.addresses()
	managers := make([]string, len(addresses)) // what is kept of a manager stays where the way to it changes
	for i, a := range addresses {
		managers[i] = a.HostPort
	}
	counts, err := channel.OpenCounts(cfg.State, cfg.ridsDir(), key, managers, cfg.AllManagers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, counts.Close()) }()
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
	lists, mode := [][]string{managers}, "first" // the managers of each link
	if cfg.AllManagers {
		lists, mode = slices.Collect(slices.Chunk(managers, 1)), "all"
	}
	box := outbox.New(outbox.Config{Spool: queue, Readers: len(lists), Fill: cfg.shareOf(2), ResendMax: cfg.ResendMax, Finish: cfg.ExitWhenIdle, Log: log})
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
	orders := obey.Config{
		Dialect: cfg.Dialect, Responses: responses, Execd: cfg.inStock(stockExecd), Syscheck: cfg.stockRoots(),
		TakesKey: cfg.mayTakeKey(), Key: key, Keys: cfg.Keys, Log: log,
	}
	if pushed != nil {
		orders.Stored = pushed.Changed
	}
	var links []*link.Link
	for i, list := range lists {
		if cfg.AllManagers {
			orders.Log = log.With("to", cfg.Managers[i])
		}
		ch, obeyer, err := cfg.conversations(list, i, counts, box.Reader(i), orders)
		if err != nil {
			return err
		}
		links = append(links, link.New(link.Config{
			Managers: list, Dialer: ch, Outbox: box.Reader(i), Orders: obeyer,
			TimeReconnect: cfg.TimeReconnect, FailBack: cfg.FailBack, ExitWhenIdle: cfg.ExitWhenIdle, Log: orders.Log,
		}))
		orders.Stored = nil // those of the first manager alone are run
	}

	about := status.Agent{Version: cfg.Version, Outbox: box}
	var web *metrics.Server
	if cfg.HTTPListen != "" {
		if web, err = metrics.Open(metrics.Config{
			Listen: cfg.HTTPListen, TokenFile: cfg.HTTPTokenFile, Collect: about.Collect,
			Alive: func() error { return nil }, Ready: about.Ready, Log: log,
		}); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	if web != nil {
		running.Go(func() { web.Run(ctx) })
	}
	running.Go(func() { counts.Keep(ctx, log) })
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
	err = runLinks(ctx, links)
	box.Close()
	cancel()
	running.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// conversations makes what speaks and what obeys on a link to these managers, of which the first has this place in Config.Managers.
//
// Each manager's shared files are kept apart, since two that push other files would take turns for ever: those of the first in
// STATE/shared or the directory of a stock layout, those of another in STATE/shared-HOST%3APORT.
func (c *Config) conversations(managers []string, first int, counts *channel.Counts, out *outbox.Reader, o obey.Config) (*channel.Channel, *obey.Orders, error) {
	dir := c.sharedDir()
	if first > 0 {
		dir = filepath.Join(c.State, "shared-"+c.readers()[first])
	}
	var err error
	if o.Shared, err = shared.Open(dir); err != nil {
		return nil, nil, err
	}
	var orders *obey.Orders
	ch, err := channel.New(channel.Config{
		Managers: managers, Dial: c.dialer(first), Key: o.Key, Method: c.Method, Dialect: c.Dialect, Outbox: out, MaxEvent: c.maxEvent(),
		About:      channel.About{Version: c.Version, TakesKey: o.TakesKey, Sums: func() (merged, config string) { s := orders.Sums(); return s.Merged, s.Config }},
		NotifyTime: c.NotifyTime, ProbeInterval: c.ProbeInterval, Rate: c.Rate, Burst: c.Burst, Log: o.Log,
	}, counts, first)
	if err != nil {
		return nil, nil, err
	}
	o.UseKey = ch.UseKey
	orders = obey.New(o)
	return ch, orders, nil
}

// runLinks returns once all of them have ended.
func runLinks(ctx context.Context, links []*link.Link) error {
	var running sync.WaitGroup
	errs := make([]error, len(links))
	for i, l := range links {
		running.Go(func() {
			if errs[i] = l.Run(ctx); errs[i] != nil && len(links) > 1 {
				errs[i] = fmt.Errorf("%s: %w", l.Name(), errs[i])
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
