package fleet

import (
	"context"
	"sync"
	"time"

	"ossecd/keys"
)

// A key is rotated in these steps, each on the disk of who makes it before the next begins (docs/decisions/rotation.md):
//
//	keygen   notes the next key                       old key: used      next key: known to keygen
//	manager  takes either; tells the agent the next              used               known to the manager
//	agent    puts the next into its keys file, uses it           ended              used
//	manager  puts the next into client.keys                      gone               used
//
// So whatever the agent has on its disk, the manager takes.

const promoteWithin = 5 * time.Second // how long the keys file is waited for to put new keys of agents into it

// promoter makes next keys that were used the keys of their agents.
type promoter struct {
	f    *Fleet
	mu   sync.Mutex
	used map[string]keys.Key // by ID, until they are in the keys file
	kick chan struct{}
}

func (p *promoter) add(k keys.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == nil {
		p.used = make(map[string]keys.Key)
	}
	p.used[k.ID] = k
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// take is what add was told since the last call.
func (p *promoter) take() map[string]keys.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.used
	p.used = nil
	return all
}

// run does so until ctx ends.
func (p *promoter) run(ctx context.Context) {
	retry := time.NewTicker(restEvery)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
		case <-retry.C:
		}
		all := p.take()
		if len(all) == 0 {
			continue
		}
		if err := p.promote(ctx, all); err != nil && ctx.Err() == nil {
			p.f.limited.Error("the new keys of agents are not in the keys file; it is tried again, and until then a start of the manager would take the old ones, too", "err", err)
			for _, k := range all {
				p.add(k)
			}
			select { // add has kicked
			case <-ctx.Done():
			case <-retry.C:
			}
		}
	}
}

func (p *promoter) promote(ctx context.Context, all map[string]keys.Key) error {
	ctx, cancel := context.WithTimeout(ctx, promoteWithin)
	defer cancel()
	err := keys.Edit(ctx, p.f.cfg.Keys, func(f *keys.File) error {
		for _, k := range all {
			if _, living := f.Set().ByID(k.ID); !living {
				continue // removed meanwhile
			}
			if err := f.Promote(k); err != nil {
				p.f.limited.Error("an agent uses a key that is no longer its next", "err", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.f.TakeUpNow()
	for _, k := range all {
		p.f.log.Info("an agent uses its new key; the old one has ended", "agent", k.ID, "name", k.Name)
	}
	return nil
}
