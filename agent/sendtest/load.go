package sendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// inFlight is how many events, of all agents together, are on the way at most before an answer proves that the
	// manager took them: a socket buffer of the usual 208 KB holds some more at 1 KB a datagram.
	inFlight = 128
	// askAtOnce is how many agents of one worker send a control message before their acks are waited for.
	askAtOnce = 32
	// firstPause is after how long what is not acknowledged is sent again; it doubles each time up to lastPause.
	firstPause = 500 * time.Millisecond
	lastPause  = 2 * time.Second
	// early is how much too early an event may leave: timers are not much finer.
	early = time.Millisecond
)

// load is many agents that send events in turn. Workers, one for each processor, have a share of the agents each.
type load struct {
	*job
	shares [][]*session // by worker; agent i is at [i % workers][i / workers]
	began  time.Time    // of the events
	sent   atomic.Int64 // events
	acked  atomic.Int64 // control messages
}

// failure is why an agent could not go on.
type failure struct {
	s     *session
	later bool // after its first ack
	err   error
}

func (f *failure) Error() string { return fmt.Sprintf("agent %v: %v", f.s.key, f.err) }
func (f *failure) Unwrap() error { return f.err }

// runLoad sends j.count events and reports how fast that went.
func (j *job) runLoad(ctx context.Context, w, progressTo io.Writer, makeCounts func() (counts, error)) error {
	r := &report{w: w, json: j.json, out: outcome{Manager: j.address, Agents: len(j.keys)}}
	l := &load{job: j, shares: make([][]*session, min(runtime.GOMAXPROCS(0), len(j.keys)))}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer l.leave()

	err := l.connect(ctx, makeCounts)
	if err == nil {
		err = l.each(cancel, func(worker int) error { return l.greet(ctx, l.shares[worker]) })
	}
	if err == nil {
		l.began = time.Now()
		p := startProgress(progressTo, int64(j.count), &l.sent)
		err = l.each(cancel, func(worker int) error { return l.send(ctx, worker) })
		p.stop()
		r.out.Seconds = time.Since(l.began).Seconds()
	}
	r.out.Sent, r.out.Acked = l.sent.Load(), l.acked.Load()
	if r.out.Seconds > 0 {
		r.out.Rate = float64(r.out.Sent) / r.out.Seconds
	}
	if !j.json {
		fmt.Fprintf(w, "sent %d events of %d agents, %d acks, in %.3f s: %.0f events/s\n", r.out.Sent, len(j.keys), r.out.Acked, r.out.Seconds, r.out.Rate)
		if a := l.ahead(); a > 0 {
			fmt.Fprintf(progressTo, "warning: the counts ran %v ahead of the clock; wait that long before these keys are used again without --state\n", a)
		}
	}
	return r.finish(err, explainFailure(err))
}

func explainFailure(err error) []string {
	var f *failure
	switch {
	case !errors.As(err, &f):
		return nil
	case f.later:
		return f.s.explainLater(f.err)
	}
	return f.s.explain(f.err)
}

// each runs f for all workers at once and returns the first error, which cancels the others.
func (l *load) each(cancel context.CancelCauseFunc, f func(worker int) error) error {
	var all sync.WaitGroup
	var once sync.Once
	var first error
	for worker := range l.shares {
		all.Go(func() {
			if err := f(worker); err != nil {
				once.Do(func() { first = err })
				cancel(err)
			}
		})
	}
	all.Wait()
	return first
}

func (l *load) connect(ctx context.Context, makeCounts func() (counts, error)) error {
	for w := range l.shares {
		b, err := newBench()
		if err != nil {
			return err
		}
		for i := w; i < len(l.keys); i += len(l.shares) {
			c, err := makeCounts()
			if err != nil {
				return err
			}
			s, err := connect(ctx, b, l.keys[i], c, l.target)
			if err != nil {
				return fmt.Errorf("agent %v: %w (each agent needs a socket: ulimit -n)", l.keys[i], err)
			}
			l.shares[w] = append(l.shares[w], s)
		}
	}
	return nil
}

func (l *load) leave() {
	for _, share := range l.shares {
		for _, s := range share {
			s.leave()
		}
	}
}

// greet says hello for the agents of a share.
func (l *load) greet(ctx context.Context, share []*session) error {
	return l.ask(ctx, share, false, (*session).startup)
}

// ask sends a control message for each agent of a share, some of them at a time, and waits for all acks.
func (l *load) ask(ctx context.Context, share []*session, later bool, message func(*session) (sent, error)) error {
	for len(share) > 0 {
		some := share[:min(len(share), askAtOnce)]
		share = share[len(some):]
		for _, s := range some {
			if _, err := message(s); err != nil {
				return &failure{s, later, err}
			}
		}
		for _, s := range some {
			if err := l.await(ctx, s, message); err != nil {
				return &failure{s, later, err}
			}
		}
	}
	return nil
}

// send sends the events of a worker's agents, in the order of their numbers. After each half of what may be on the
// way an agent, the next one each time, sends a keepalive, and the one before that must have been answered. A manager
// takes things in as they come to a socket of its own; it may have several, and divide the agents among them.
func (l *load) send(ctx context.Context, worker int) error {
	share := l.shares[worker]
	half := max(1, inFlight/2/len(l.shares))
	text := []byte(l.message)
	var asked *session // has a keepalive unanswered
	since, turn := 0, 0
	for n := range l.count {
		i := n % len(l.keys)
		if i%len(l.shares) != worker {
			continue
		}
		if err := l.pace(ctx, n); err != nil {
			return err
		}
		s := share[i/len(l.shares)]
		text = append(text[:len(l.message)], ' ')
		text = strconv.AppendInt(text, int64(n+1), 10)
		if _, err := s.event(l.queue, l.location, text); err != nil {
			return &failure{s, true, err}
		}
		l.sent.Add(1)
		if since++; since < half {
			continue
		}
		since = 0
		probe := share[turn%len(share)]
		turn++
		if _, err := probe.keepalive(); err != nil {
			return &failure{probe, true, err}
		}
		if asked != nil {
			if err := l.await(ctx, asked, (*session).keepalive); err != nil {
				return &failure{asked, true, err}
			}
		}
		asked = probe
	}
	if asked != nil {
		if err := l.await(ctx, asked, (*session).keepalive); err != nil {
			return &failure{asked, true, err}
		}
	}
	return l.ask(ctx, share, true, (*session).keepalive)
}

// await waits for an ack to what was sent, and sends again while there is none.
func (l *load) await(ctx context.Context, s *session, again func(*session) (sent, error)) error {
	end := time.Now().Add(l.timeout)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		until := time.Now().Add(pause)
		if until.After(end) {
			until = end
		}
		_, err := s.ack(ctx, until)
		if err == nil {
			l.acked.Add(1)
			return nil
		}
		if !errors.Is(err, errNoAnswer) {
			return err
		}
		if !time.Now().Before(end) {
			return fmt.Errorf("%w from %v within %v", errNoAnswer, s.conn.RemoteAddr(), l.timeout)
		}
		if _, err := again(s); err != nil {
			return err
		}
	}
}

// pace waits until event n is due.
func (l *load) pace(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if l.rate == 0 {
		return nil
	}
	due := l.began.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	wait := time.Until(due)
	if wait <= early {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// ahead is how far the counts are ahead of the clock, where they came from it.
func (l *load) ahead() time.Duration {
	var most time.Duration
	for _, share := range l.shares {
		for _, s := range share {
			if c, ok := s.counts.(*clock); ok {
				most = max(most, c.ahead(time.Now()))
			}
		}
	}
	return most
}
