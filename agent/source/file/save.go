package file

import (
	"cmp"
	"slices"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/limitlog"
)

// saving says when positions are to be saved, and what waits for it. Each save has a goroutine of its own, so that a slow disk does not
// stop the reading.
type saving struct {
	*settings
	turns    *turns
	progress *progress
	saves    chan saveResult // of the one under way
	buf      []byte          // belongs to it

	dirty    bool      // positions differ from those saved
	urgent   bool      // a tail that is not filed waits for the next save
	running  bool      // one is under way
	filing   []*tail   // those that are filed by it
	at       time.Time // not before
	urgentAt time.Time // not before, where it is urgent
	failed   limitlog.Limit
}

// pending says that there is something to save and nobody at it; due, when.
func (s *saving) pending() bool { return s.dirty && !s.running }

func (s *saving) due() time.Time {
	if s.urgent {
		return s.urgentAt
	}
	return s.at
}

type saveResult struct {
	err  error
	took time.Duration
}

// start begins to save the present positions.
func (s *saving) start(tracks map[string]*track) {
	p := positions{files: make([]record, 0, len(tracks)), generation: s.progress.saving()}
	for _, g := range s.patterns.Patterns {
		p.globs = append(p.globs, name(g.Text))
	}
	for _, tr := range tracks {
		path := name(absolute(tr.path))
		for _, t := range tr.tails {
			if !t.filed {
				s.filing = append(s.filing, t)
			}
			t.noteEnding()
			p.files = append(p.files, record{path, t.id, t.reached, t.was})
		}
		for _, r := range tr.saved {
			r.path = path
			p.files = append(p.files, r)
		}
	}
	s.dirty, s.urgent, s.running = false, false, true
	go func() { s.saves <- s.write(p) }()
}

// write writes the positions file.
func (s *saving) write(p positions) saveResult {
	start := time.Now()
	slices.SortStableFunc(p.files, func(a, b record) int { return cmp.Compare(a.path, b.path) })
	b, err := p.appendTo(s.buf[:0])
	if err == nil {
		s.buf = b
		err = durable.ReplaceFile(s.Positions, b, 0o600)
	}
	return saveResult{err, time.Since(start)}
}

// wait waits for the save under way, if there is one.
func (s *saving) wait() {
	if s.running {
		s.done(<-s.saves)
	}
}

// done takes in how a save went. One that failed is tried again, and logged once a minute.
func (s *saving) done(r saveResult) {
	s.running = false
	for _, t := range s.filing { // also where it failed: reading goes on
		t.filed = true
		s.turns.push(t)
	}
	s.filing = s.filing[:0]
	now := time.Now()
	// A save of many files may take long; it shall not take more than a tenth of the time, or half of it while there are
	// files that wait for it.
	s.at, s.urgentAt = now.Add(max(s.pace.save, 10*r.took)), now.Add(r.took)
	if r.err == nil {
		s.failed = limitlog.Limit{}
		return
	}
	s.dirty = true
	s.at = now.Add(4 * s.pace.save)
	if s.failed.Due(now) {
		s.Log.Error("positions of followed files cannot be saved; reading goes on, but lines are sent again if the agent is killed now: "+
			"free space on the disk, and make the state directory writable", "path", s.Positions, "error", r.err)
	}
}
