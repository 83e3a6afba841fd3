package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"ossecd/agent/source"
	"ossecd/agent/spool"
	"ossecd/keys/limitlog"
)

// intake is where all sources put their events.
type intake struct {
	log      *slog.Logger
	spool    *spool.Spool // nil without one
	fill     int64        // bytes of the spool that what says much may fill while no manager takes events; 0 for no bound
	sessions []*session
	done     chan struct{} // all sessions have ended
}

// output is the source.Output of one source.
type output struct {
	intake  *intake
	name    string     // of the source, for the log
	mu      sync.Mutex // of share
	share   share
	spare   sync.Pool    // of *emission
	busy    atomic.Int64 // calls of Emit under way
	limited *limitlog.Logger
	idle    atomic.Bool // Idle was called after the last Emit
}

func newOutput(in *intake, name string, most int64) *output {
	return &output{intake: in, name: name, share: share{most: most}, limited: limitlog.New(in.log)}
}

// emission is a batch on its way through the session.
type emission struct {
	ctx   context.Context
	batch []source.Event
	n     int        // sent so far
	reply chan error // has room for one
}

// Emit implements source.Output.
func (o *output) Emit(ctx context.Context, batch []source.Event) (int, error) {
	if err := ctx.Err(); err != nil || len(batch) == 0 {
		return 0, err
	}
	o.busy.Add(1)
	o.idle.Store(false)
	defer o.busy.Add(-1)
	if o.intake.spool != nil {
		return o.put(ctx, batch)
	}
	return o.hand(ctx, batch)
}

// hand gives a batch to the session, the only one, and waits until it was sent.
func (o *output) hand(ctx context.Context, batch []source.Event) (int, error) {
	e, ok := o.spare.Get().(*emission)
	if !ok {
		e = &emission{reply: make(chan error, 1)}
	}
	defer o.spare.Put(e)
	e.ctx, e.batch, e.n = ctx, batch, 0
	s := o.intake.sessions[0]
	select {
	case s.in <- e:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.done:
		return 0, context.Canceled
	}
	err := <-e.reply // comes soon after ctx has ended, too; until then the session reads the batch
	e.ctx, e.batch = nil, nil
	return e.n, err
}

// Idle implements source.Output.
func (o *output) Idle() {
	if o.idle.Swap(true) {
		return
	}
	for _, s := range o.intake.sessions {
		if !s.cfg.ExitWhenIdle {
			return
		}
		select {
		case s.idled <- struct{}{}:
		default:
		}
	}
}

func (o *output) isIdle() bool { return o.busy.Load() == 0 && o.idle.Load() }
