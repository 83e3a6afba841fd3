package fleet

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/keys/named"
	"ossecd/proto"
)

const (
	ridsEvery   = 30 * time.Second // how often the stock rids files are brought up to date
	resetsEvery = time.Second      // how often requests to forget a counter are looked for
)

// counters keep the received counters, and the stock rids files in step with them.
type counters struct{ f *Fleet }

// run does so until ctx ends.
func (c *counters) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { every(ctx, resetsEvery, c.takeResets) })
	all.Go(func() {
		every(ctx, ridsEvery, func() {
			received := c.f.cfg.Received
			if _, err := received.Flush(ctx, c.f.cfg.Rids, c.f.Roster().slots); err != nil && ctx.Err() == nil {
				c.f.limited.Error("the message counters or their rids files are not as they should be", "err", err)
			}
			received.Tidy(time.Now(), c.f.Roster().keptSlots)
		})
	})
	all.Wait()
}

// takeResets forgets the received counters of agents for which keygen reset-counter asks.
func (c *counters) takeResets() {
	f := c.f
	err := keys.TakeResets(f.cfg.State, func(id string) error {
		k, err := named.Find(f.cfg.Store.Load(), id, f.cfg.Keys) // keygen may not have the file that tells 1 from 001
		if err != nil {
			return err
		}
		a := f.Roster().ByID(k.ID)
		if a == nil {
			return fmt.Errorf("agent %s: no such agent in %s", id, f.cfg.Keys)
		}
		a.Slot.Reset()
		if next := a.Next(); next != nil {
			next.Slot.Reset()
		}
		f.log.Warn("the received counter of an agent was forgotten, as asked for", "agent", k.ID, "name", a.Key.Name)
		return nil
	})
	if err != nil {
		f.limited.Error("requests to forget a counter were not carried out", "err", err)
	}
}

// stock reads what the stock rids file of one agent says; zero where there is none. A file that cannot be read
// is logged and ignored: what the received counters themselves know stays in force.
func (c *counters) stock(id string) proto.Counter {
	v, ok, err := keys.ReadRids(c.f.cfg.Rids, id)
	if err != nil {
		c.f.log.Warn("a rids file was ignored", "err", err)
	}
	if err != nil || !ok {
		return proto.Counter{}
	}
	return v
}

// allStock reads what the files say of those agents that have one.
func (c *counters) allStock() map[string]proto.Counter {
	all := make(map[string]proto.Counter)
	entries, err := os.ReadDir(c.f.cfg.Rids)
	if err != nil {
		return all // nothing there to take over
	}
	for _, e := range entries {
		id := e.Name()
		if id == "" || id[0] < '0' || id[0] > '9' {
			continue // sender_counter, and what does not belong here
		}
		all[id] = c.stock(id)
	}
	return all
}
