package manager

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/proto"
)

// pusher brings shared files to agents whose sum differs from ours. Receivers note which agents those are; one goroutine
// sends, a few messages at a time to few agents at once, so that neither the agents' sockets nor our receivers are
// overrun. A push that is disturbed is begun anew after the agent's next keepalive: the pieces have no numbers.
type pusher struct {
	m      *manager
	voice  *voice
	groups []*sharing

	mu      sync.Mutex
	waiting []*agent
	wake    chan struct{}
}

// sharing is what the agents of one group get.
type sharing struct {
	name   string
	agents []string // globs over IDs and names; nil is everybody
	dir    sharedDir
	now    atomic.Pointer[merged] // nil until it is read
}

// pushState is what a pusher knows of an agent; the agent's mu guards it.
type pushState struct {
	from   *sharing
	told   bool   // since its startup the agent reported which shared files it has
	has    string // their sum, "" for none
	busy   bool   // waiting or being pushed to
	began  int    // startups since; a push stops when it changes
	pushed string // the sum of the last push
	again  time.Time
	says   bool   // it repeats words, by its keepalive
	reach  *reach // nil until it is needed
	came   int    // bytes of the keepalive that told it
}

const (
	pushesAtOnce = 48
	pushEvery    = 10 * time.Millisecond
	pushPace     = 5 * time.Millisecond // between messages to an agent: 180 KB/s for one, 8.6 MB/s for all
	pushBurst    = 8                    // messages to an agent at once, at most, where a busy system is late with a tick

	// pushAgain is how long an agent may take to report what was pushed before it is pushed again.
	pushAgain = 30 * time.Second
	// sharedEvery is how often the directories are looked at.
	sharedEvery = 2 * time.Second
)

func (m *manager) newPusher(groups []*sharing) (*pusher, error) {
	v, err := m.newVoice()
	if err != nil {
		return nil, err
	}
	p := &pusher{m: m, voice: v, groups: groups, wake: make(chan struct{}, 1)}
	for _, g := range groups {
		p.read(g)
	}
	return p, nil
}

// reported takes an agent's keepalive. a.mu is held.
func (p *pusher) reported(a *agent, k *proto.Keepalive, size int, now time.Time) {
	for _, f := range k.Files {
		if f.Name != proto.MergedName {
			continue
		}
		if a.push == nil {
			a.push = &pushState{from: p.groupOf(a)}
		}
		a.push.told, a.push.has, a.push.came = true, f.Sum, size
		a.push.says = a.ours && k.SaysWord
		a.heardWord(k.Word, now)
		p.want(a, now)
	}
}

// started takes an agent's startup: what was being pushed to it came to nothing, and a program that knows of no shared files may
// have the key. a.mu is held.
func (p *pusher) started(a *agent) {
	if a.push != nil {
		a.push.told, a.push.says = false, false
		a.push.began++
		a.push.again = time.Time{}
	}
}

func (p *pusher) groupOf(a *agent) *sharing {
	for _, g := range p.groups {
		if g.agents == nil || matchesAny(g.agents, a.key.ID, a.key.Name) {
			return g
		}
	}
	return nil
}

// want has an agent pushed to if it needs to be. a.mu is held.
func (p *pusher) want(a *agent, now time.Time) {
	s := a.push
	if s == nil || s.from == nil || s.busy || !s.told {
		return
	}
	f := s.from.now.Load()
	if f == nil || f.files == 0 || f.sum == s.has || f.sum == s.pushed && now.Before(s.again) {
		return
	}
	s.busy = true
	p.mu.Lock()
	p.waiting = append(p.waiting, a)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// push is one that is under way.
type push struct {
	a     *agent
	file  *merged
	at    int // the next byte; -1 before the beginning
	began int
	to    netip.Addr
	free  bool // of the bound on bytes
}

// run pushes until ctx ends.
func (p *pusher) run(ctx context.Context) {
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
			due := int(time.Since(paid) / pushPace)
			paid = paid.Add(time.Duration(due) * pushPace)
			p.step(active, min(due, pushBurst))
		}
	}
}

// take drops the pushes that have ended, and fills up with agents that wait.
func (p *pusher) take(active []*push) []*push {
	kept := active[:0]
	for _, u := range active {
		if u.a != nil {
			kept = append(kept, u)
		}
	}
	p.mu.Lock()
	n := min(pushesAtOnce-len(kept), len(p.waiting))
	next := p.waiting[:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.mu.Unlock()
	for _, a := range next {
		a.mu.Lock()
		kept = append(kept, &push{a: a, file: a.push.from.now.Load(), at: -1, began: a.push.began})
		a.mu.Unlock()
	}
	return kept
}

// step sends the next messages of each push, n at most. One that has ended has no agent any more.
func (p *pusher) step(active []*push, n int) {
	for _, u := range active {
		if !p.send(u, n) {
			u.a = nil
		}
	}
}

// send sends the next n messages of a push, and says whether it goes on.
func (p *pusher) send(u *push, n int) bool {
	a := u.a
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.push
	if p.m.roster.Load().byID[a.key.ID] != a { // it was removed, or has another key
		s.busy = false
		return false
	}
	for range n {
		if a.life.state != connected || a.back == nil || s.began != u.began {
			s.busy = false
			return false
		}
		if s.from.now.Load() != u.file { // begin with the new ones
			s.busy = false
			p.want(a, time.Now())
			return false
		}
		var ok bool
		if u.at < 0 {
			ok, u.free = p.mayBegin(a, time.Now())
			u.to = a.back.To.Addr()
		} else {
			ok = a.back.To.Addr() == u.to
		}
		if !ok {
			s.busy = false
			return false
		}
		var message []byte
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
		err := p.voice.say(a, message)
		if !u.free {
			s.reach.owe(len(message), time.Now())
		}
		if done := u.at > len(u.file.data); done || err != nil {
			s.busy, s.pushed, s.again = false, u.file.sum, time.Now().Add(pushAgain)
			p.m.log.Debug("shared files pushed", "agent", a.key.ID, "name", a.key.Name, "bytes", len(u.file.data), "err", err)
			return false
		}
	}
	return true
}

// read looks for changes in a group's directory, and has those agents pushed to that are there and need it.
func (p *pusher) read(g *sharing) {
	f, skipped, err := g.dir.look()
	if names := strings.Join(skipped, ", "); names != g.dir.skipped {
		g.dir.skipped = names
		p.m.log.Warn("shared files that agents would not accept are left out", "dir", g.dir.path, "names", names[:min(len(names), 200)],
			"remedy", "give them plain names, and let links point to files in the same directory")
	}
	if err != nil {
		p.m.limited.Error("shared files of the group "+g.name+" stay as they were", "err", fmt.Errorf("%s: %w; agents get the last version that could be read", g.dir.path, err))
		return
	}
	if f == nil {
		return
	}
	if old := g.now.Swap(f); old != nil && old.sum == f.sum {
		return
	}
	p.m.log.Info("shared files", "group", g.name, "dir", g.dir.path, "files", f.files, "bytes", len(f.data), "md5", f.sum)
	roster := p.m.roster.Load()
	if roster == nil {
		return
	}
	now := time.Now()
	for _, a := range roster.byID {
		a.mu.Lock()
		if a.push != nil && a.push.from == g && a.life.state == connected {
			p.want(a, now)
		}
		a.mu.Unlock()
	}
}
