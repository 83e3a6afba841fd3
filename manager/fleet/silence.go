package fleet

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// watch finds agents that fell silent. Agents stand in a heap, each once, by the time at which they may be due; one
// that spoke meanwhile is put back, so that an agent costs a look per waiting time however much it sends. What is told of such an
// agent is an Event of kind Disconnected; package report makes the alert of it.
type watch struct {
	after   time.Duration                 // silence after which an agent is gone; 0: by its keepalive interval
	gone    func(a *Agent, now time.Time) // a.mu is held
	deliver func()                        // what gone has to report

	mu    sync.Mutex
	queue dueHeap
	wake  chan struct{}
}

func newWatch(after time.Duration, gone func(*Agent, time.Time), deliver func()) *watch {
	return &watch{after: after, gone: gone, deliver: deliver, wake: make(chan struct{}, 1)}
}

// wait is how long an agent may be silent.
func (w *watch) wait(p *presence) time.Duration {
	if w.after > 0 {
		return w.after
	}
	interval := p.interval()
	if interval == 0 {
		interval = stockNotifyTime
	}
	return missedKeepalives*interval + keepaliveGrace
}

// look makes sure that a is looked at when its silence may be up. a.mu is held.
func (w *watch) look(a *Agent) {
	if a.presence.state == disconnected {
		return
	}
	due := a.presence.lastSeen.Add(w.wait(&a.presence))
	if !a.presence.watched.IsZero() && !a.presence.watched.After(due) {
		return
	}
	a.presence.watched = due
	w.mu.Lock()
	if a.queued > 0 {
		w.queue[a.queued-1].due = due
		heap.Fix(&w.queue, a.queued-1)
	} else {
		heap.Push(&w.queue, dueAgent{due, a})
	}
	first := w.queue[0].agent == a
	w.mu.Unlock()
	if first {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// run looks at agents until ctx ends.
func (w *watch) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.mu.Lock()
		next := time.Hour
		if len(w.queue) > 0 {
			next = time.Until(w.queue[0].due)
		}
		w.mu.Unlock()
		timer.Reset(max(next, 0))
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			continue
		case <-timer.C:
		}
		now := time.Now()
		for {
			w.mu.Lock()
			if len(w.queue) == 0 || w.queue[0].due.After(now) {
				w.mu.Unlock()
				break
			}
			d := heap.Pop(&w.queue).(dueAgent)
			w.mu.Unlock()
			w.judge(d.agent, d.due, now)
		}
		w.deliver()
	}
}

// judge reports an agent whose silence is up, and looks at any other again later. gone leaves it disconnected, so that
// it is not looked at again.
func (w *watch) judge(a *Agent, due, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.presence.watched.Equal(due) {
		return // an earlier look was asked for meanwhile, and was had
	}
	a.presence.watched = time.Time{}
	if a.presence.state != disconnected && now.Sub(a.presence.lastSeen) >= w.wait(&a.presence) {
		w.gone(a, now)
	}
	w.look(a)
}

type dueAgent struct {
	due   time.Time
	agent *Agent
}

type dueHeap []dueAgent

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].agent.queued, h[j].agent.queued = i+1, j+1
}
func (h *dueHeap) Push(x any) {
	d := x.(dueAgent)
	*h = append(*h, d)
	d.agent.queued = len(*h)
}
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	d.agent.queued = 0
	(*h)[last] = dueAgent{}
	*h = (*h)[:last]
	return d
}
