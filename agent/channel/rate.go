package channel

import (
	"cmp"
	"time"

	"golang.org/x/time/rate"
)

// rateStep is how long a pause for the rate is at most at one go, where the burst allows it.
const rateStep = 10 * time.Millisecond

// eventRate keeps to so many events a second. The zero value knows no limit.
type eventRate struct {
	limit *rate.Limiter
	until time.Time // nothing is sent before then, zero where it may
}

func newEventRate(perSecond, burst int) eventRate {
	if perSecond == 0 {
		return eventRate{}
	}
	return eventRate{limit: rate.NewLimiter(rate.Limit(perSecond), cmp.Or(burst, perSecond))}
}

// sent notes that an event was sent. What is too fast waits for a few events' time, so that a wake-up serves several.
func (r *eventRate) sent() {
	if r.limit == nil {
		return
	}
	now := time.Now()
	if d := r.limit.ReserveN(now, 1).DelayFrom(now); d > 0 {
		several := time.Duration(float64(r.limit.Burst()) / float64(r.limit.Limit()) * float64(time.Second))
		r.until = now.Add(max(d, min(several, rateStep)))
	}
}

// look lets events pass again when it is time.
func (r *eventRate) look(now time.Time) {
	if !now.Before(r.until) {
		r.until = time.Time{}
	}
}
