package file

import (
	"cmp"
	"slices"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/limitlog"
)

// saver writes the positions file in its own goroutine, so that a slow disk does not stop the reading.
type saver struct {
	work chan positions
	done chan saveResult
}

type saveResult struct {
	err  error
	took time.Duration
}

func newSaver(path string) *saver {
	s := &saver{work: make(chan positions), done: make(chan saveResult, 1)}
	go func() {
		defer close(s.done)
		var buf []byte
		for p := range s.work {
			start := time.Now()
			slices.SortStableFunc(p.files, func(a, b record) int { return cmp.Compare(a.path, b.path) })
			b, err := p.appendTo(buf[:0])
			if err == nil {
				buf = b
				err = durable.ReplaceFile(path, b, 0o600)
			}
			s.done <- saveResult{err, time.Since(start)}
		}
	}()
	return s
}

// close waits for the goroutine. No result may be outstanding.
func (s *saver) close() {
	close(s.work)
	<-s.done
}

// saving says when positions are to be saved, and what waits for it.
type saving struct {
	*settings
	turns    *turns
	saver    *saver
	progress *progress

	dirty    bool      // positions differ from those saved
	urgent   bool      // a tail that is not filed waits for the next save
	running  bool      // the saver is at work
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

// start hands the present positions to the saver.
func (s *saving) start(tracks map[string]*track) {
	p := positions{files: make([]record, 0, len(tracks)), generation: s.progress.saving()}
	for _, g := range s.patterns.globs {
		p.globs = append(p.globs, name(g.text))
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
	s.saver.work <- p
}

// wait waits for the save under way, if there is one.
func (s *saving) wait() {
	if s.running {
		s.done(<-s.saver.done)
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
