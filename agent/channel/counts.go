package channel

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

	"ossecd/keys"
	"ossecd/proto"
)

// ridsEvery is how often the stock file of the manager's count is brought up to date.
const ridsEvery = 30 * time.Second

// Counts are the agent's message counts, which outlive the process, and whose message is whose. All conversations share them.
type Counts struct {
	rids     string // the stock directory
	sender   *keys.Sender
	received *keys.Received
	claims   *claims // nil with one manager

	mu    sync.Mutex   // guards the first of
	slots []*keys.Slot // one for each manager of the list; each belongs to the receiver of its conversation
}

// OpenCounts opens the counts of an agent with a key and these managers. all says that it uses all of them at once. The counts are in the
// state directory, but for those in rids.
func OpenCounts(state, rids string, key keys.Key, managers []string, all bool) (*Counts, error) {
	c := &Counts{rids: rids, claims: newClaims(managers, all)}
	if err := os.MkdirAll(c.rids, 0o750); err != nil {
		return nil, fmt.Errorf("state: %w; make the directory writable for this user", err)
	}
	var err error
	if c.received, err = keys.OpenReceived(filepath.Join(state, "received")); err != nil {
		return nil, err
	}
	last, _, err := keys.ReadRids(c.rids, key.ID)
	for _, m := range managers {
		if err != nil {
			break
		}
		var slot *keys.Slot
		slot, err = c.received.Slot(key.ID, key.Secret, m, last)
		c.slots = append(c.slots, slot)
		last = proto.Counter{} // the stock file speaks of the first manager alone
	}
	if err == nil {
		c.sender, err = keys.OpenSender(c.rids)
	}
	if err != nil {
		return nil, errors.Join(err, c.received.Close())
	}
	return c, nil
}

// slotOf is the slot of another key.
func (c *Counts) slotOf(key keys.Key, manager string) (*keys.Slot, error) {
	return c.received.Slot(key.ID, key.Secret, manager, proto.Counter{})
}

// use has a slot take the place of the first.
func (c *Counts) use(s *keys.Slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[0] = s
}

// inUse are the slots of the keys that are in use.
func (c *Counts) inUse() []*keys.Slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.slots)
}

// flush brings the stock file up to date.
func (c *Counts) flush(ctx context.Context) error {
	_, err := c.received.Flush(ctx, c.rids, func(yield func(*keys.Slot) bool) {
		c.mu.Lock()
		first := c.slots[0]
		c.mu.Unlock()
		yield(first)
	})
	return err
}

// Keep brings the stock file up to date now and then, and frees the counts of keys that are gone, until ctx ends.
func (c *Counts) Keep(ctx context.Context, log *slog.Logger) {
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

// Close saves what is to be saved.
func (c *Counts) Close() error {
	return errors.Join(c.flush(context.Background()), c.sender.Close(), c.received.Close())
}
