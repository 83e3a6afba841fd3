package sendtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/agent/transport"
	"ossecd/keys"
)

const (
	// inFlight is how many events, of all agents together, are on the way at most before an answer proves that the
	// manager took them: a socket buffer of the usual 208 KB holds some more at 1 KB a datagram.
	inFlight = 128
	// sharedLines is how many sockets the agents share which need none of their own. A manager with several sockets
	// of its own divides the load among them by source port, and evenly if there are many.
	sharedLines = 64
	// askers is on how many lines handshakes go on at once. Each takes about 1 MB.
	askers = 64
	// firstPause is after how long what is not acknowledged is sent again; it doubles each time up to lastPause.
	firstPause = 500 * time.Millisecond
	lastPause  = 2 * time.Second
)

// load is many agents that send events in turn, over lines that workers, one for each processor, have a share of.
type load struct {
	*job
	lines   []*line
	workers []*worker
	greeted atomic.Int64 // agents
	sent    atomic.Int64 // events
	acked   atomic.Int64 // control messages
}

// worker sends the events of the agents on its lines. What it counts is read when it is done.
type worker struct {
	lines       []*line
	agents      []turn
	first, last time.Time // when its first and last event left
}

// turn is an agent and which one it is of all.
type turn struct {
	number int // from 0 on
	*session
	line *line
}

// failure is why an agent could not go on.
type failure struct {
	s     *session
	later bool // after its first ack
	err   error
}

func (f *failure) Error() string { return fmt.Sprintf("agent %v: %v", f.s.key, f.err) }
func (f *failure) Unwrap() error { return f.err }

// failed is a failure, or why the context ended: that closes all sockets, and they then fail.
func failed(ctx context.Context, s *session, later bool, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &failure{s, later, err}
}

// runLoad sends j.count events and reports how fast that went.
func runLoad(ctx context.Context, j *job, w, progressTo io.Writer, makeCounts func() (counts, error)) error {
	r := &report{w: w, json: j.json, out: outcome{Manager: j.address.HostPort, Agents: len(j.keys)}}
	l := &load{job: j}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer l.leave()

	began := time.Now()
	err := l.connect(ctx, makeCounts)
	if err == nil {
		p := startProgress(progressTo, "hello", int64(len(j.keys)), &l.greeted)
		err = l.eachLine(ctx, cancel, l.hello)
		p.stop()
		r.out.Hello = time.Since(began).Seconds()
	}
	if err == nil {
		p := startProgress(progressTo, "events", int64(j.count), &l.sent)
		err = l.send(ctx, cancel)
		p.stop()
		r.out.Seconds = l.took().Seconds()
	}
	r.out.Sent, r.out.Acked = l.sent.Load(), l.acked.Load()
	if r.out.Seconds > 0 { // between n events there are n-1 gaps
		r.out.Rate = float64(r.out.Sent-1) / r.out.Seconds
	}
	if !j.json {
		fmt.Fprintf(w, "hello of %d agents in %.3f s\nsent %d events of %d agents, %d acks, in %.3f s: %.0f events/s\n",
			l.greeted.Load(), r.out.Hello, r.out.Sent, len(j.keys), r.out.Acked, r.out.Seconds, r.out.Rate)
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

// connect opens the lines and divides the agents among them, and the lines among the workers.
func (l *load) connect(ctx context.Context, makeCounts func() (counts, error)) error {
	shared := make([]*line, min(sharedLines, len(l.keys)))
	lineOf := func(n int, key keys.Key) (*line, error) {
		if conn, ok := dialFromOwn(ctx, key, l.address); ok {
			return l.add(&line{conn: conn}), nil
		}
		if l.address.Network == transport.TCP { // a connection is one agent's
			conn, err := dialFromAny(ctx, l.address)
			if err != nil {
				return nil, fmt.Errorf("agent %v: %w (ulimit -n bounds the connections)", key, err)
			}
			return l.add(&line{conn: conn}), nil
		}
		ln := &shared[n%len(shared)]
		if *ln == nil {
			conn, err := dialFromAny(ctx, l.address)
			if err != nil {
				return nil, fmt.Errorf("agent %v: %w (ulimit -n bounds the sockets)", key, err)
			}
			*ln = l.add(&line{conn: conn})
		}
		return *ln, nil
	}
	turns := make(map[*line][]turn)
	for n, key := range l.keys {
		c, err := makeCounts()
		if err != nil {
			return err
		}
		ln, err := lineOf(n, key)
		if err != nil {
			return err
		}
		s := newSession(key, ln.conn, c, l.target)
		ln.agents = append(ln.agents, s)
		turns[ln] = append(turns[ln], turn{n, s, ln})
	}
	l.workers = make([]*worker, min(runtime.GOMAXPROCS(0), len(l.lines)))
	for i := range l.workers {
		l.workers[i] = new(worker)
	}
	for i, ln := range l.lines {
		w := l.workers[i%len(l.workers)]
		w.lines = append(w.lines, ln)
		w.agents = append(w.agents, turns[ln]...)
	}
	for _, w := range l.workers {
		slices.SortFunc(w.agents, func(a, b turn) int { return cmp.Compare(a.number, b.number) })
	}
	context.AfterFunc(ctx, l.close)
	return nil
}

func (l *load) add(ln *line) *line {
	l.lines = append(l.lines, ln)
	return ln
}

func (l *load) close() {
	for _, ln := range l.lines {
		ln.conn.Close()
	}
}

// leave says goodbye for all agents.
func (l *load) leave() {
	for _, ln := range l.lines {
		for _, s := range ln.agents {
			if s.bench != nil { // else it never spoke
				s.leave()
			}
		}
	}
	l.close()
}

// eachLine runs f for every line, on some at once, and returns the first error, which cancels the others.
func (l *load) eachLine(ctx context.Context, cancel context.CancelCauseFunc, f func(context.Context, *line) error) error {
	queue := make(chan *line, len(l.lines))
	for _, ln := range l.lines {
		queue <- ln
	}
	close(queue)
	return parallel(min(askers, len(l.lines)), cancel, func(int) error {
		b, err := newBench()
		if err != nil {
			return err
		}
		for ln := range queue {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			ln.use(b)
			if err := f(ctx, ln); err != nil {
				return err
			}
		}
		return nil
	})
}

// parallel runs f(0) to f(n-1) at once and returns the first error, which cancels the others.
func parallel(n int, cancel context.CancelCauseFunc, f func(i int) error) error {
	var all sync.WaitGroup
	var once sync.Once
	var first error
	for i := range n {
		all.Go(func() {
			if err := f(i); err != nil {
				once.Do(func() { first = err })
				cancel(err)
			}
		})
	}
	all.Wait()
	return first
}

// send sends the events, and returns once the manager has shown that it took in all of them.
func (l *load) send(ctx context.Context, cancel context.CancelCauseFunc) error {
	for _, w := range l.workers {
		b, err := newBench()
		if err != nil {
			return err
		}
		for _, ln := range w.lines {
			ln.use(b)
		}
	}
	began := time.Now() // once all is ready: what is late is made up for
	err := parallel(len(l.workers), cancel, func(i int) error {
		return l.work(ctx, l.workers[i], newPace(began, l.rate, len(l.workers)))
	})
	if err != nil {
		return err
	}
	return l.eachLine(ctx, cancel, func(ctx context.Context, ln *line) error {
		if !ln.unproven {
			return nil
		}
		if err := l.ask(ctx, ln); err != nil {
			return err
		}
		return l.prove(ctx, ln)
	})
}

// work sends the events of a worker's agents, in the order of their numbers. After each half of what may be on the
// way a line, the next one each time, asks for an answer, and the one before must have had its own. A manager takes
// things in as they come to a socket of its own; where it has several, the lines that lead to each have their turn.
func (l *load) work(ctx context.Context, w *worker, p *pace) error {
	half := max(1, inFlight/2/len(l.workers))
	text := []byte(l.message)
	var asked *line
	since, next := 0, 0
	for round := 0; round < l.count; round += len(l.keys) {
		for i := range w.agents {
			a := &w.agents[i]
			n := round + a.number
			if n >= l.count {
				break
			}
			if err := p.wait(ctx, n); err != nil {
				return err
			}
			text = append(text[:len(l.message)], ' ')
			text = strconv.AppendInt(text, int64(n+1), 10)
			m, err := a.event(l.queue, l.location, text)
			if err != nil {
				return failed(ctx, a.session, true, err)
			}
			if w.first.IsZero() {
				w.first = m.at
			}
			w.last = m.at
			l.sent.Add(1)
			a.line.unproven = true
			if since++; since < half {
				continue
			}
			since = 0
			ln := w.lines[next%len(w.lines)]
			next++
			if asked != nil {
				if err := l.prove(ctx, asked); err != nil {
					return err
				}
			}
			if err := l.ask(ctx, ln); err != nil {
				return err
			}
			asked = ln
		}
	}
	if asked != nil {
		return l.prove(ctx, asked)
	}
	return nil
}

// took is the time from the first event to the last.
func (l *load) took() time.Duration {
	var first, last time.Time
	for _, w := range l.workers {
		if !w.first.IsZero() && (first.IsZero() || w.first.Before(first)) {
			first = w.first
		}
		if w.last.After(last) {
			last = w.last
		}
	}
	return last.Sub(first)
}

// ahead is how far the counts are ahead of the clock, where they came from it.
func (l *load) ahead() time.Duration {
	var most time.Duration
	now := time.Now()
	for _, ln := range l.lines {
		for _, s := range ln.agents {
			if c, ok := s.counts.(*clock); ok {
				most = max(most, c.ahead(now))
			}
		}
	}
	return most
}
