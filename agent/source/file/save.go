package file

import (
	"cmp"
	"slices"
	"time"

	"ossecd/keys/durable"
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

// startSave hands the present positions to the saver.
func (f *follower) startSave() {
	p := positions{files: make([]record, 0, len(f.tails)), generation: f.progress.saving()}
	for _, g := range f.globs {
		p.globs = append(p.globs, name(g.text))
	}
	for _, tr := range f.tracks {
		path := name(absolute(tr.path))
		for _, t := range tr.tails {
			if !t.filed {
				f.filing = append(f.filing, t)
			}
			t.noteEnding()
			p.files = append(p.files, record{path, t.id, t.pos, t.print, t.end})
		}
		for _, r := range tr.saved {
			r.path = path
			p.files = append(p.files, r)
		}
	}
	f.dirty, f.urgent, f.saving = false, false, true
	f.saver.work <- p
}

// firstSave makes the files known before any of them is read: a file met for the first time is begun at its
// end once, not after every kill.
func (f *follower) firstSave() {
	f.startSave()
	f.saved(<-f.saver.done)
}

// saved takes in how a save went. One that failed is tried again, and logged once a minute.
func (f *follower) saved(r saveResult) {
	f.saving = false
	for _, t := range f.filing { // also where it failed: reading goes on
		t.filed = true
		f.push(t)
	}
	f.filing = f.filing[:0]
	now := time.Now()
	// A save of many files may take long; it shall not take more than a tenth of the time, or half of it while there are
	// files that wait for it.
	f.saveAt, f.urgentAt = now.Add(max(f.pace.save, 10*r.took)), now.Add(r.took)
	if r.err == nil {
		f.saveLog = time.Time{}
		return
	}
	f.dirty = true
	f.saveAt = now.Add(4 * f.pace.save)
	if f.saveLog.IsZero() || now.Sub(f.saveLog) >= time.Minute {
		f.saveLog = now
		f.Log.Error("positions of followed files cannot be saved; reading goes on, but lines are sent again if the agent is killed now: "+
			"free space on the disk, and make the state directory writable", "path", f.Positions, "error", r.err)
	}
}
