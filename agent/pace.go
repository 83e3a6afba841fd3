package agent

import (
	"cmp"
	"time"

	"golang.org/x/time/rate"
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
