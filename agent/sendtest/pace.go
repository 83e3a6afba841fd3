package sendtest

import (
	"context"
	"time"
)

const (
	// atOnce bounds what leaves without a pause, as a time at the rate asked for. Timers are up to 1 ms late, and
	// what became due meanwhile must fit.
	atOnce = 1500 * time.Microsecond
	// breath is the pause where more than that is due.
	breath = 100 * time.Microsecond
)

// pace spreads the events of one worker evenly over time. A worker that fell behind, since the machine or the manager
// was busy, catches up little by little rather than in a burst. For one goroutine.
type pace struct {
	began time.Time
	rate  float64 // events a second, of all workers; 0 is no limit
	most  int     // events of this worker between two pauses
	going int     // events since the last pause
}

func newPace(began time.Time, rate float64, workers int) *pace {
	return &pace{began: began, rate: rate, most: 1 + int(rate*atOnce.Seconds())/workers}
}

// wait waits until event n, from 0 on, may leave.
func (p *pace) wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if p.rate == 0 {
		return nil
	}
	due := p.began.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	pause := time.Until(due)
	if p.going++; p.going > p.most {
		pause = max(pause, breath)
	}
	if pause <= 0 {
		return nil
	}
	p.going = 1
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
