package agent

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/time/rate"

	"ossecd/agent/source"
)

// pace keeps a session to Config.Rate events a second. The zero value knows no limit.
type pace struct {
	limit *rate.Limiter
	until time.Time // nothing is sent before then, zero where it may
}

func newPace(cfg *Config) pace {
	if cfg.Rate == 0 {
		return pace{}
	}
	return pace{limit: rate.NewLimiter(rate.Limit(cfg.Rate), cmp.Or(cfg.Burst, cfg.Rate))}
}

// sent notes that an event was sent. What is too fast waits for a few events' time, so that a wake-up serves several.
func (p *pace) sent() {
	if p.limit == nil {
		return
	}
	now := time.Now()
	if d := p.limit.ReserveN(now, 1).DelayFrom(now); d > 0 {
		several := time.Duration(float64(p.limit.Burst()) / float64(p.limit.Limit()) * float64(time.Second))
		p.until = now.Add(max(d, min(several, paceStep)))
	}
}

// look lets events pass again when it is time.
func (p *pace) look(now time.Time) {
	if !now.Before(p.until) {
		p.until = time.Time{}
	}
}

// share is what one source has in the spool and nobody has taken yet. Where there are several sources, each may have so much
// at most, so that one that says too much neither takes the others' room nor has them wait behind all of it.
type share struct {
	most  int64 // bytes; 0 for no bound
	held  int64
	parts []part // in their order
}

// part is bytes of a source that are delivered with the events before end.
type part struct {
	end   uint64
	bytes int64
}

// settle forgets what was delivered: all events before this one.
func (s *share) settle(delivered uint64) {
	n := 0
	for n < len(s.parts) && s.parts[n].end <= delivered {
		s.held -= s.parts[n].bytes
		n++
	}
	s.parts = append(s.parts[:0], s.parts[n:]...)
}

// fits is how many events of a batch there is room for: one at least where nothing is held.
func (s *share) fits(batch []source.Event) (n int) {
	for room := s.most - s.held; n < len(batch) && (room >= weight(&batch[n]) || n == 0 && s.held == 0); n++ {
		room -= weight(&batch[n])
	}
	return n
}

// add notes events that stand before end. Small batches are noted as one.
func (s *share) add(batch []source.Event, end uint64) {
	if len(batch) == 0 {
		return
	}
	var bytes int64
	for i := range batch {
		bytes += weight(&batch[i])
	}
	s.held += bytes
	if n := len(s.parts); n > 0 && s.parts[n-1].bytes < s.most/shareParts {
		s.parts[n-1] = part{end, s.parts[n-1].bytes + bytes}
		return
	}
	s.parts = append(s.parts, part{end, bytes})
}

// weight is about what an event takes in the spool.
func weight(e *source.Event) int64 { return int64(len(e.Location) + len(e.Message) + 16) }

// Backlog implements source.Backlog: while managers take events, little of what can wait elsewhere should wait here, before the
// lines of today. While they don't, a source may fill its share.
func (o *output) Backlog() (delivered, next uint64, most int64) {
	if o.intake.spool == nil {
		return 0, 0, 0
	}
	delivered, next = o.intake.spool.Bounds()
	for _, s := range o.intake.sessions {
		if !s.takes.Load() {
			return delivered, next, o.intake.fill
		}
	}
	return delivered, next, min(backlogOnline, cmp.Or(o.intake.fill, backlogOnline))
}

// mine is how many events of a batch the source may put into the spool now. It waits until there is one.
func (o *output) mine(ctx context.Context, batch []source.Event) (int, error) {
	if o.share.most == 0 {
		return len(batch), nil
	}
	for {
		room := o.intake.spool.Room()
		delivered, _ := o.intake.spool.Bounds()
		o.mu.Lock()
		o.share.settle(delivered)
		n := o.share.fits(batch)
		o.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		o.limited.Warn("a source has used up its share of the spool; it waits", "source", o.name, "remedy", "find out what it sends so much of, and why managers take it so slowly; or change --source-share")
		select {
		case <-room:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-o.intake.done:
			return 0, context.Canceled
		}
	}
}

// took notes what the source put into the spool.
func (o *output) took(batch []source.Event) {
	if o.share.most == 0 {
		return
	}
	_, end := o.intake.spool.Bounds()
	o.mu.Lock()
	o.share.add(batch, end)
	o.mu.Unlock()
}
