package outbox

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/agent/source"
	"ossecd/keys/durable/queue"
	"ossecd/keys/limitlog"
)

const (
	// spoolAgain is when the spool is tried again that could not be written.
	spoolAgain = 5 * time.Second

	// backlogOnline is how many bytes a source that can wait should have in the spool while managers take events: a
	// fraction of a second of what a conversation sends.
	backlogOnline = 4 << 20
)

// Output is the source.Output of one source.
type Output struct {
	box     *Outbox
	name    string     // of the source, for the log
	mu      sync.Mutex // of share
	share   share
	spare   sync.Pool    // of *Batch
	busy    atomic.Int64 // calls of Emit under way
	limited *limitlog.Logger
	idle    atomic.Bool // Idle was called after the last Emit
	read    *atomic.Uint64
}

var (
	_ source.Output  = (*Output)(nil)
	_ source.Backlog = (*Output)(nil)
)

// Output makes the output of a source that may fill so many bytes of the spool, 0 for no bound.
func (o *Outbox) Output(name string, most int64) *Output {
	return &Output{box: o, name: name, read: o.counter(name), share: share{most: most}, limited: limitlog.New(o.cfg.Log)}
}

// Awaited is Output for a source without which Reader.Idle is false. It is to be called before there is a conversation.
func (o *Outbox) Awaited(name string, most int64) *Output {
	out := o.Output(name, most)
	o.awaited = append(o.awaited, out)
	return out
}

// Batch is what a source hands to a Reader where no spool takes it.
type Batch struct {
	ctx   context.Context
	batch []source.Event
	n     int        // sent so far; fewer than there are
	reply chan error // has room for one
}

// Emit implements source.Output.
func (o *Output) Emit(ctx context.Context, batch []source.Event) (n int, err error) {
	if err := ctx.Err(); err != nil || len(batch) == 0 {
		return 0, err
	}
	o.busy.Add(1)
	o.idle.Store(false)
	defer func() {
		o.read.Add(uint64(n))
		o.busy.Add(-1)
	}()
	if o.box.cfg.Spool != nil {
		return o.put(ctx, batch)
	}
	return o.hand(ctx, batch)
}

// hand gives a batch to the reader, the only one, and waits until it was sent.
func (o *Output) hand(ctx context.Context, batch []source.Event) (int, error) {
	e, ok := o.spare.Get().(*Batch)
	if !ok {
		e = &Batch{reply: make(chan error, 1)}
	}
	defer o.spare.Put(e)
	e.ctx, e.batch, e.n = ctx, batch, 0
	r := o.box.readers[0]
	select {
	case r.handed <- e:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-r.done:
		return 0, context.Canceled
	}
	err := <-e.reply // comes soon after ctx has ended, too; until then the reader has the batch
	e.ctx, e.batch = nil, nil
	return e.n, err
}

// put puts a batch into the spool, and says how many events are in it. It waits while there is no room. Where the disk
// takes nothing, the reader takes what is left, once it has sent all that the spool holds.
func (o *Output) put(ctx context.Context, batch []source.Event) (n int, err error) {
	spool := o.box.cfg.Spool
	for n < len(batch) {
		room := spool.Room()
		mine, err := o.mine(ctx, batch[n:])
		if err != nil {
			return n, err
		}
		some, err := spool.Append(batch[n:][:mine])
		o.took(batch[n:][:some])
		n += some
		switch {
		case err == nil:
			continue
		case errors.Is(err, queue.ErrFull):
			o.limited.Warn("the spool is full; sources wait", "remedy", "find out why no manager takes events, or raise --spool-size")
			err = o.wait(ctx, room)
		case len(o.box.readers) > 1: // which would not all come as far
			o.limited.Warn("the spool cannot be written; sources wait", "err", err, "remedy", "free space on the disk, or repair it")
			again, cancel := context.WithTimeout(ctx, spoolAgain)
			err = o.wait(ctx, again.Done())
			cancel()
		default:
			o.limited.Warn("the spool cannot be written; events are sent at once, or wait", "err", err, "remedy", "free space on the disk, or repair it")
			again, cancel := context.WithTimeout(ctx, spoolAgain)
			some, err = o.hand(again, batch[n:])
			cancel()
			n += some
			if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
				err = nil // the spool is tried again
			}
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// wait waits until something is so, or for an end.
func (o *Output) wait(ctx context.Context, so <-chan struct{}) error {
	select {
	case <-so:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-o.box.done:
		return context.Canceled
	}
}

// Idle implements source.Output.
func (o *Output) Idle() {
	if o.idle.Swap(true) || !o.box.cfg.Finish {
		return
	}
	for _, r := range o.box.readers {
		select {
		case r.idled <- struct{}{}:
		default:
		}
	}
}

func (o *Output) isIdle() bool { return o.busy.Load() == 0 && o.idle.Load() }

// Backlog implements source.Backlog: while managers take events, little of what can wait elsewhere should wait here, before the
// lines of today. While they don't, a source may fill its share.
func (o *Output) Backlog() (delivered, next uint64, most int64) {
	box := o.box
	if box.cfg.Spool == nil {
		return 0, 0, 0
	}
	delivered, next = box.cfg.Spool.Bounds()
	for _, r := range box.readers {
		if !r.taking.Load() {
			return delivered, next, box.cfg.Fill
		}
	}
	return delivered, next, min(backlogOnline, cmp.Or(box.cfg.Fill, backlogOnline))
}
