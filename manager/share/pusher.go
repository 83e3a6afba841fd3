// Package share brings shared files to agents whose sum differs from ours.
package share

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/fleet"
	"ossecd/proto"
)

// Pusher notes by the agents' keepalives which of them need files; one goroutine sends, a few messages at a time to few agents at once, so
// that neither the agents' sockets nor our receivers are overrun. A push that is disturbed is begun anew after the agent's next
// keepalive: the pieces have no numbers.
type Pusher struct {
	fleet   *fleet.Fleet
	log     *slog.Logger
	limited *limitlog.Logger
	groups  []*group
	wake    chan struct{}

	// mu guards what is below. It is taken after the lock of a conversation and before those of the fleet. Nothing is sent while it is held.
	mu      sync.Mutex
	states  map[string]*state // by the agents' IDs, of those that reported what shared files they have
	waiting []*state
}

// group is what the agents of one group get.
type group struct {
	*fleet.Group // nil: all others
	name         string
	dir          directory
	now          atomic.Pointer[merged] // nil until it is read
}

// state is what a pusher knows of an agent; the pusher's mu guards it.
type state struct {
	agent  *fleet.Agent
	group  *group
	told   bool   // since its startup the agent reported which shared files it has
	has    string // their sum, "" for none
	busy   bool   // waiting or being pushed to
	began  int    // startups since; a push stops when it changes
	pushed string // the sum of the last push
	again  time.Time
	budget budget
}

const (
	pushesAtOnce = 48
	pushEvery    = 10 * time.Millisecond
	pushStep     = 5 * time.Millisecond // between messages to an agent: 180 KB/s for one, 8.6 MB/s for all
	pushBurst    = 8                    // messages to an agent at once, at most, where a busy system is late with a tick

	// pushAgain is how long an agent may take to report what was pushed before it is pushed again.
	pushAgain = 30 * time.Second
	// sharedEvery is how often the directories are looked at.
	sharedEvery = 2 * time.Second
)

// New makes the pusher of the groups that have files, and of the directory for all other agents, if it is not empty. It hears of the agents
// from the fleet.
func New(f *fleet.Fleet, groups []fleet.Group, others string, log *slog.Logger) *Pusher {
	p := &Pusher{fleet: f, log: log, limited: limitlog.New(log), wake: make(chan struct{}, 1), states: make(map[string]*state)}
	for i, g := range groups {
		if g.Shared != "" {
			p.groups = append(p.groups, &group{Group: &groups[i], name: g.Name, dir: directory{path: g.Shared}})
		}
	}
	if others != "" {
		p.groups = append(p.groups, &group{name: "all others", dir: directory{path: others}})
	}
	for _, g := range p.groups {
		p.read(g)
	}
	if len(p.groups) > 0 {
		f.OnStartup(p.started)
		f.OnKeepalive(p.reported)
	}
	return p
}

// reported takes an agent's keepalive.
func (p *Pusher) reported(a *fleet.Agent, r *fleet.Report) {
	sum, ok := r.Merged()
	if !ok {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.states[a.Key.ID]
	if s == nil || s.agent != a {
		s = &state{agent: a, group: p.groupOf(a)}
		p.states[a.Key.ID] = s
	}
	s.told, s.has = true, sum
	p.want(s, now)
}

// started takes an agent's startup: what was being pushed to it came to nothing, and a program that knows of no shared files may
// have the key.
func (p *Pusher) started(a *fleet.Agent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.states[a.Key.ID]; s != nil && s.agent == a {
		s.told = false
		s.began++
		s.again = time.Time{}
	}
}

func (p *Pusher) groupOf(a *fleet.Agent) *group {
	for _, g := range p.groups {
		if g.Group == nil || g.Has(a.Key.ID, a.Key.Name) {
			return g
		}
	}
	return nil
}

// want has an agent pushed to if it needs to be. mu is held.
func (p *Pusher) want(s *state, now time.Time) {
	if s.group == nil || s.busy || !s.told {
		return
	}
	f := s.group.now.Load()
	if f == nil || f.files == 0 || f.sum == s.has || f.sum == s.pushed && now.Before(s.again) {
		return
	}
	s.busy = true
	p.waiting = append(p.waiting, s)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// push is one that is under way.
type push struct {
	to    *state // nil once it has ended
	file  *merged
	at    int // the next byte; -1 before the beginning
	began int
	addr  netip.Addr
	free  bool // of the bound on bytes
}

// Run pushes until ctx ends.
func (p *Pusher) Run(ctx context.Context) {
	if len(p.groups) == 0 {
		return
	}
	tick := time.NewTicker(pushEvery)
	defer tick.Stop()
	look := time.NewTicker(sharedEvery)
	defer look.Stop()
	var active []*push
	var paid time.Time // until when the messages due were sent; zero while there are none
	for {
		if active = p.take(active); len(active) == 0 {
			tick.Stop() // an idle manager is not woken
			paid = time.Time{}
		} else if paid.IsZero() {
			tick.Reset(pushEvery)
			paid = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-look.C:
			for _, g := range p.groups {
				p.read(g)
			}
		case <-tick.C:
			due := int(time.Since(paid) / pushStep)
			paid = paid.Add(time.Duration(due) * pushStep)
			for _, u := range active {
				if !p.send(u, min(due, pushBurst)) {
					u.to = nil
				}
			}
		}
	}
}

// take drops the pushes that have ended, and fills up with agents that wait.
func (p *Pusher) take(active []*push) []*push {
	kept := active[:0]
	for _, u := range active {
		if u.to != nil {
			kept = append(kept, u)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(pushesAtOnce-len(kept), len(p.waiting))
	for _, s := range p.waiting[:n] {
		kept = append(kept, &push{to: s, file: s.group.now.Load(), at: -1, began: s.began})
	}
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	return kept
}

// send sends the next n messages of a push, and says whether it goes on.
func (p *Pusher) send(u *push, n int) bool {
	a := u.to.agent
	for range n {
		message := p.next(u, time.Now())
		if message == nil {
			return false
		}
		err := a.Conversation().Send(message)
		if u.at > len(u.file.data) || err != nil {
			p.mu.Lock()
			u.to.busy, u.to.pushed, u.to.again = false, u.file.sum, time.Now().Add(pushAgain)
			p.mu.Unlock()
			p.log.Debug("shared files pushed", "agent", a.Key.ID, "name", a.Key.Name, "bytes", len(u.file.data), "err", err)
			return false
		}
	}
	return true
}

// next is the next message of a push. There is none where the agent is away, or has moved.
func (p *Pusher) next(u *push, now time.Time) (message []byte) {
	s, a := u.to, u.to.agent
	addr := a.Conversation().Addr().Addr()
	there := p.fleet.Has(a) && a.Present() && addr.IsValid() // it may have been removed, or have another key
	confirmed := fleet.Unable
	if there && u.at < 0 {
		confirmed = a.Conversation().Confirm(now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !there || s.began != u.began {
		s.busy = false
		return nil
	}
	if s.group.now.Load() != u.file { // begin with the new ones
		s.busy = false
		p.want(s, now)
		return nil
	}
	switch {
	case u.at >= 0 && addr != u.addr:
		s.busy = false
		return nil
	case u.at < 0:
		u.addr, u.free = addr, confirmed == fleet.Confirmed
		if confirmed == fleet.Asked || !u.free && !p.mayBegin(s, now) {
			s.busy = false // it is wanted again once the agent has shown that it hears us
			return nil
		}
	}
	switch {
	case u.at < 0:
		message = proto.AppendUpFile(nil, u.file.sum, proto.MergedName)
		u.at = 0
	case u.at < len(u.file.data):
		message = proto.Chunk(u.file.data, u.at)
		u.at += len(message)
	default:
		message = []byte(proto.CloseFile)
		u.at++
	}
	if !u.free {
		s.budget.owe(len(message), now)
	}
	return message
}

// read looks for changes in a group's directory, and has those agents pushed to that are there and need it.
func (p *Pusher) read(g *group) {
	f, skipped, err := g.dir.look()
	if names := strings.Join(skipped, ", "); names != g.dir.skipped {
		g.dir.skipped = names
		p.log.Warn("shared files that agents would not accept are left out", "dir", g.dir.path, "names", names[:min(len(names), 200)],
			"remedy", "give them plain names, and let links point to files in the same directory")
	}
	if err != nil {
		p.limited.Error("shared files of the group "+g.name+" stay as they were", "err", fmt.Errorf("%s: %w; agents get the last version that could be read", g.dir.path, err))
		return
	}
	if f == nil {
		return
	}
	if old := g.now.Swap(f); old != nil && old.sum == f.sum {
		return
	}
	p.log.Info("shared files", "group", g.name, "dir", g.dir.path, "files", f.files, "bytes", len(f.data), "md5", f.sum)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, s := range p.states {
		switch {
		case !p.fleet.Has(s.agent):
			delete(p.states, id)
		case s.group == g && s.agent.Present():
			p.want(s, now)
		}
	}
}
