package file

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ossecd/agent/source"
)

// follower assembles the parts of one Run. All of them belong to the goroutine of run.
type follower struct {
	out       source.Output
	turns     *turns
	saving    *saving
	paths     *paths
	discovery *discovery
	reader    *reader
}

func newFollower(s *settings, out source.Output) (*follower, error) {
	known, err := loadPositions(s.Positions, s.Log)
	if err != nil {
		return nil, err
	}
	progress, err := openProgress(s.Positions+".hot", &known)
	if err != nil {
		s.Log.Warn("positions are saved a few times a second only; after a kill the lines since then are sent again", "error", err)
	}
	turns := &turns{soon: make(map[*tail]struct{})}
	saving := &saving{settings: s, turns: turns, saves: make(chan saveResult, 1), progress: progress}
	p := &paths{settings: s, turns: turns, saving: saving, tracks: make(map[string]*track), tails: make(map[identity]*tail),
		dirs: &directories{log: s.Log, watch: newWatcher(s.Log), all: make(map[string]*dir), reals: make(map[string]*track)}}
	p.notices = &notices{log: s.Log, files: func() (int, int) { return len(p.tracks), len(p.tails) }}
	stall := newStall(s.Log)
	backlog, _ := out.(source.Backlog)
	return &follower{
		out: out, turns: turns, saving: saving, paths: p,
		discovery: &discovery{paths: p, rotated: &rotated{paths: p, known: known.files}, stall: stall, known: known},
		reader: &reader{paths: p, copies: copies{p}, stall: stall, undelivered: undelivered{backlog: backlog},
			emits: make(chan []source.Event), sent: make(chan sent, 1), buf: make([]byte, max(chunk, 2*s.MaxEvent))},
	}, nil
}

func (f *follower) close() {
	f.paths.dirs.watch.close()
	f.saving.progress.close()
	for _, t := range f.paths.tails {
		t.close()
	}
}

func (f *follower) run(ctx context.Context) error {
	f.discovery.scan()
	// The files are known before any of them is read: one met for the first time is begun at its end once, not after every kill.
	f.save()
	f.saving.wait()
	f.discovery.polled = time.Now()
	timer := time.NewTimer(f.pause())
	defer timer.Stop()
	for {
		f.reader.feed()
		if f.idle() {
			f.out.Idle()
		}
		timer.Reset(f.pause())
		select {
		case <-ctx.Done():
			return f.stop(ctx)
		case r := <-f.reader.sent:
			f.reader.delivered(r)
			if r.err != nil {
				return errors.Join(f.failed(ctx, r.err), f.stop(ctx))
			}
		case <-f.paths.dirs.watch.wake:
			f.discovery.takeChanges()
		case r := <-f.saving.saves:
			f.saving.done(r)
		case <-timer.C:
			f.tick()
		}
	}
}

// failed is nil for the end of ctx, which is no failure.
func (f *follower) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("events of files not taken: %w", err)
}

// stop takes in what Emit still answers and saves the positions a last time.
func (f *follower) stop(ctx context.Context) error {
	var err error
	if f.reader.flying != nil {
		r := <-f.reader.sent
		f.reader.delivered(r)
		if r.err != nil {
			err = f.failed(ctx, r.err)
		}
	}
	f.saving.wait()
	if f.saving.dirty {
		f.save()
		f.saving.wait()
	}
	return err
}

func (f *follower) save() { f.saving.start(f.paths.tracks) }

// pause is the time until the next thing to do that no channel tells of.
func (f *follower) pause() time.Duration {
	d, pace := f.discovery.due(), &f.paths.pace
	if len(f.turns.soon) > 0 {
		d = min(d, pace.quick)
	}
	if f.saving.pending() {
		d = min(d, time.Until(f.saving.due()))
	}
	if len(f.turns.held) > 0 {
		d = min(d, pace.delivery)
	}
	return max(d, 0)
}

// tick does what is due.
func (f *follower) tick() {
	now := time.Now()
	for t := range f.turns.soon {
		f.turns.push(t)
	}
	if f.saving.pending() && !now.Before(f.saving.due()) {
		f.save()
	}
	f.discovery.tick(now)
	f.turns.release()
	f.paths.tellMore(now)
}

// idle says that all there is to read has been emitted.
func (f *follower) idle() bool {
	return f.discovery.scanned && f.reader.flying == nil && f.turns.idle()
}
