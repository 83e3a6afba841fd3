package manager

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// life is what is known about an agent's presence; the agent's mu guards it.
//
//	           control message               silence, or it said goodbye
//	  unseen ──────────────────▶ connected ──────────────────────────────▶ unseen
//	                 ▲                        (event agent-disconnected)
//	awaited ─────────┘ (event agent-connected)
//	   └── silence ─▶ unseen (event agent-disconnected)
//
// An agent is awaited when it was connected as the manager stopped: it has a full waiting time to speak before
// it is reported.
type life struct {
	state    presence
	lastSeen time.Time // of its last authentic and fresh message
	outage   outage

	awaitedSince time.Time // where it is awaited

	notify    time.Duration                    // the keepalive interval that it told, or 0
	gaps      [keepaliveGapsKept]time.Duration // between its last keepalives
	keepalive time.Time                        // the last one since its startup
	learned   time.Duration                    // from an earlier run
	watched   time.Time                        // the earliest time at which the watch looks at it
}

type presence uint8

const (
	unseen presence = iota
	awaited
	connected
)

// resume takes up what an earlier run of the manager knew.
func (l *life) resume(s *keys.Slot, now time.Time) {
	if s.Connected() {
		*l = life{state: awaited, lastSeen: now, awaitedSince: now}
	} else {
		l.outage.since = s.LastSeen()
	}
	l.learned = s.Interval()
}

// heardByStock takes over when a stock manager heard an agent that we last heard before. Keepalives of stock agents are ten minutes apart, so
// one that spoke within a stock manager's waiting time was there all the time. Without that it would be reported as back from an outage.
func heardByStock(s *keys.Slot, at, now time.Time) {
	if at.After(s.LastSeen()) && !at.After(now) {
		s.SetLastSeen(at)
		s.SetConverses(false)
		s.SetConnected(now.Sub(at) < missedKeepalives*stockNotifyTime+keepaliveGrace)
	}
}

// interval is the agent's keepalive interval as far as it is known: told, seen, seen in an earlier run, or 0.
// Of the last gaps the longest counts, since agents send extra keepalives too.
func (l *life) interval() time.Duration {
	if l.notify > 0 {
		return l.notify
	}
	var most time.Duration
	for _, g := range l.gaps {
		most = max(most, g)
	}
	if most == 0 {
		return l.learned
	}
	return most
}

// starting says that the agent is there and has said no keepalive since its startup. One that stays so does not take our answers.
func (l *life) starting() bool { return l.state == connected && l.keepalive.IsZero() }

// forgetInterval is for a startup: another program, or the same one with other settings, may speak from now on.
func (l *life) forgetInterval() {
	l.notify, l.learned, l.keepalive = 0, 0, time.Time{}
	clear(l.gaps[:])
}

// noteKeepalive learns from a keepalive that came now.
func (l *life) noteKeepalive(k *proto.Keepalive, now time.Time) {
	l.notify = k.NotifyTime
	if !l.keepalive.IsZero() {
		copy(l.gaps[1:], l.gaps[:])
		l.gaps[0] = now.Sub(l.keepalive)
	}
	l.keepalive = now
}

// watch reports agents that fell silent. Agents stand in a heap, each once, by the time at which they may be due; one
// that spoke meanwhile is put back, so that an agent costs a look per waiting time however much it sends.
type watch struct {
	after time.Duration // silence after which an agent is gone; 0: by its keepalive interval
	gone  func(a *agent, now time.Time)

	mu    sync.Mutex
	queue dueHeap
	wake  chan struct{}
}

func newWatch(after time.Duration, gone func(*agent, time.Time)) *watch {
	return &watch{after: after, gone: gone, wake: make(chan struct{}, 1)}
}

// wait is how long an agent may be silent.
func (w *watch) wait(l *life) time.Duration {
	if w.after > 0 {
		return w.after
	}
	interval := l.interval()
	if interval == 0 {
		interval = stockNotifyTime
	}
	return missedKeepalives*interval + keepaliveGrace
}

// look makes sure that a is looked at when its silence may be up. a.mu is held.
func (w *watch) look(a *agent) {
	if a.life.state == unseen {
		return
	}
	due := a.life.lastSeen.Add(w.wait(&a.life))
	if !a.life.watched.IsZero() && !a.life.watched.After(due) {
		return
	}
	a.life.watched = due
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

// run reports agents until ctx ends.
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
	}
}

// judge reports an agent whose silence is up, and looks at any other again later. gone leaves it unseen, so that
// it is not looked at again.
func (w *watch) judge(a *agent, due, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.life.watched.Equal(due) {
		return // an earlier look was asked for meanwhile, and was had
	}
	a.life.watched = time.Time{}
	if a.life.state != unseen && now.Sub(a.life.lastSeen) >= w.wait(&a.life) {
		w.gone(a, now)
	}
	w.look(a)
}

type dueAgent struct {
	due   time.Time
	agent *agent
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
