package manager

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ossecd/manager/sink"
)

// A wave is many agents that fall silent at about the same time: a network or a site that is down, and not so many hosts. It begins
// when more than manyAgents, which are also more than one in manyOf of those that were there, were lost within waveWithin. That is half the stock
// keepalive interval: agents that say nothing else are found silent over the whole of it. The wave has ended, and is told of once, when
// none was lost for waveQuiet, or waveMost after it began.
const (
	manyAgents = 10
	manyOf     = 10
	waveWithin = 5 * time.Minute
	waveQuiet  = time.Minute
	waveMost   = 10 * time.Minute

	// wavePause is how often losses are counted up at most: those who are there must be counted, too.
	wavePause = time.Second
)

// waves tells of waves.
type waves struct {
	mu   sync.Mutex
	lost map[*agent]loss
	on   time.Time // when the present wave began; zero for none
	last time.Time // when the last agent was lost
	kick chan struct{}
}

type loss struct{ at, heard time.Time }

func newWaves() *waves { return &waves{lost: make(map[*agent]loss), kick: make(chan struct{}, 1)} }

// maxNamed is how many lost agents the log names within waveWithin; each has its event all the same.
const maxNamed = 100

// note takes that an agent was lost, and says whether it is one of a wave, or of too many to be named in the log. It may be called with the agent's mu held.
func (w *waves) note(a *agent, now, heard time.Time) (one bool) {
	w.mu.Lock()
	w.lost[a], w.last = loss{now, heard}, now
	one = !w.on.IsZero() || len(w.lost) > maxNamed
	w.mu.Unlock()
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return one
}

// passing says that an agent is one of those that the present wave took.
func (w *waves) passing(a *agent) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, one := w.lost[a]
	return one && !w.on.IsZero()
}

// recent forgets losses of long ago unless there is a wave, and says how many are left. mu is held.
func (w *waves) recent(now time.Time) int {
	for a, l := range w.lost {
		if w.on.IsZero() && now.Sub(l.at) > waveWithin {
			delete(w.lost, a)
		}
	}
	return len(w.lost)
}

// watchWaves runs until ctx ends.
func (m *manager) watchWaves(ctx context.Context) {
	w := m.waves
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.kick:
		case <-timer.C:
		}
		timer.Reset(m.lookForWave(time.Now()))
		select { // others come with it
		case <-ctx.Done():
			return
		case <-time.After(wavePause):
		}
	}
}

// lookForWave begins a wave, or ends one, and says when to look again though nobody was lost.
func (m *manager) lookForWave(now time.Time) time.Duration {
	w := m.waves
	w.mu.Lock()
	n, on := w.recent(now), w.on
	w.mu.Unlock()
	if on.IsZero() {
		if n <= manyAgents || n*manyOf <= m.present()+n {
			return time.Hour
		}
		w.mu.Lock()
		w.on, on = now, now
		w.mu.Unlock()
	}
	w.mu.Lock()
	end := w.last.Add(waveQuiet)
	if most := on.Add(waveMost); most.Before(end) {
		end = most
	}
	if now.Before(end) {
		w.mu.Unlock()
		return end.Sub(now)
	}
	lost := w.lost
	w.lost, w.on = make(map[*agent]loss), time.Time{}
	w.mu.Unlock()
	m.tellWave(lost, now)
	return time.Hour
}

// present is how many agents are there, or awaited.
func (m *manager) present() (n int) {
	for _, a := range m.roster.Load().byID {
		a.mu.Lock()
		if a.life.state != unseen {
			n++
		}
		a.mu.Unlock()
	}
	return n
}

func (m *manager) tellWave(lost map[*agent]loss, now time.Time) {
	first, last, heard, back := now, time.Time{}, time.Time{}, 0
	for a, l := range lost {
		if l.at.Before(first) {
			first = l.at
		}
		if l.at.After(last) {
			last = l.at
		}
		if l.heard.After(heard) {
			heard = l.heard
		}
		a.mu.Lock()
		if a.life.state == connected {
			back++
		}
		a.mu.Unlock()
	}
	all := m.present() - back + len(lost)
	details := sink.Member([]byte(nil), "of", all)
	details = sink.Member(details, "back", back)
	details = sink.Member(details, "first", first)
	details = sink.Member(details, "last", last)
	if !heard.IsZero() {
		details = sink.Member(details, "last_seen", heard)
	}
	text := fmt.Sprintf("ossecd: %d of %d agents disconnected at about the same time.", len(lost), all)
	m.reportAll(now, text, sink.Report{Action: sink.ManyGone, Number: uint64(len(lost)), Details: string(details)})
	m.log.Error("many agents disconnected at about the same time", "count", len(lost), "of", all, "back_already", back,
		"remedy", "check the network between them and this host first")
}
