// Package file follows log files: appended lines become events of queue '1' whose location is the path.
//
// One goroutine, the follower, owns all state. Two more serve it: one stands in Emit while the follower goes
// on noticing rotations, one writes the positions file.
//
//	fsnotify ─► watcher ─┐ changed paths                       ┌─► emitter ─► Output.Emit
//	                     ▼                                     │ one batch      │ n sent
//	poll ─────────► follower: scan globs, check paths ─► queue ─► read a chunk ◄─┘
//	                     │                                          │ offset += what was sent
//	                     └── every second, if changed ─► saver ─► positions file
//
// A path is a track; the files that stand, or stood, there are its tails, oldest first:
//
//	       open at offset            path stands for another file, or none
//	(new) ───────────────► followed ─────────────────────────────────────► left
//	                           ▲                                             │ read to its end, and its successor
//	                           │ the file came back, or its new name         │ has bytes or 1 s passed: released,
//	                           │ is one of ours too                          ▼ the successor is read now
//	                           └──────────────────────────────────────── released ── still for 5 s ─► closed
//
// A file that is new, or was truncated, is read once the positions file knows it.
//
// Each line is sent once, in the order of its file. Only after a kill are lines sent again whose delivery was not saved yet. A file
// that was rotated while the agent was down is found by its identity in the same directory. It is read first, with those that were
// rotated after it. A copy that copy-truncate leaves under a name that matches a glob is recognised (copies.go).
//
// These are lost: lines that were truncated away before they were read, what was compressed or moved elsewhere meanwhile, and a file
// that came and went between two looks. A truncated file that has grown past the old offset, with the same first 256 bytes, looks
// unchanged.
package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"time"

	"ossecd/agent/source"
)

// Config says what to follow.
type Config struct {
	Globs     []string // paths or patterns in the syntax of path/filepath.Match, or names as they stand; the directories may be patterns too
	Exclude   []string // paths or patterns of files to leave out
	Location  string   // of all events, default: the path of the file
	FromStart bool     // files met for the first time are read from the beginning, not from their end
	Encoding  string   // utf-8 (the default: bytes are passed on, but UTF-16 where a mark says so), utf-16, utf-16le, utf-16be or latin-1

	// MultilineStart is a regular expression; a line that it matches begins an event, and those that follow belong to
	// it, as far as they fit. Default: each line is an event. The last event of a file is taken for whole once nothing was
	// written for MultilineTimeout, by default a second.
	MultilineStart   string
	MultilineTimeout time.Duration

	// Compressed has the rest of a file read that was rotated and compressed while the agent was down. Names that end in
	// .gz or .zst are never followed as text then.
	Compressed bool

	Positions string       // path of the positions file; its directory must exist
	MaxEvent  int          // largest QUEUE:LOCATION:MESSAGE in bytes that the channel takes, 512 to 1 MiB
	Finish    bool         // an unterminated last line is sent once it has been still for a second
	Log       *slog.Logger // required
}

const (
	defaultMultiline = time.Second

	minEvent = 512
	maxEvent = 1 << 20
	chunk    = 64 << 10 // bytes read from one file before it is the turn of the next
)

// pace holds the intervals, so that tests need not wait.
type pace struct {
	poll     time.Duration // look at directories that give no events
	slow     int           // of so many polls, one looks at directories that give events
	quick    time.Duration // look at files with a deadline pending (left, or ending in an unterminated line)
	settle   time.Duration // an unterminated line that has been still for so long is taken for a whole one, where that is asked for
	linger   time.Duration // a left file that has been still for so long is let go
	rename   time.Duration // a left file that still grows is followed under its new name after so long
	delivery time.Duration // look whether files that wait for the managers may be read on
	save     time.Duration // least time between two writes of the positions file
}

var stockPace = pace{
	poll: time.Second, slow: 5, quick: 100 * time.Millisecond,
	settle: time.Second, linger: 5 * time.Second, rename: 30 * time.Second,
	delivery: 20 * time.Millisecond, save: time.Second,
}

// Source follows files. Make it with [New].
type Source struct {
	cfg     Config
	globs   []glob
	exclude []glob
	form    form
	pace    pace
}

var _ source.Source = (*Source)(nil)

// New checks the configuration; it touches no file.
func New(cfg Config) (*Source, error) {
	var errs []error
	if len(cfg.Globs) == 0 {
		errs = append(errs, errors.New("file: none given; name at least one path or glob"))
	}
	if cfg.Positions == "" {
		errs = append(errs, errors.New("no positions file: give a path in the state directory"))
	}
	if cfg.MaxEvent < minEvent || cfg.MaxEvent > maxEvent {
		errs = append(errs, fmt.Errorf("largest event of %d bytes: give %d to %d", cfg.MaxEvent, minEvent, maxEvent))
	}
	if cfg.Log == nil {
		errs = append(errs, errors.New("no logger given"))
	}
	s := &Source{cfg: cfg, pace: stockPace}
	for _, text := range cfg.Globs {
		g, err := parseGlob(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("file: %w", err))
			continue
		}
		s.globs = append(s.globs, g)
	}
	for _, text := range cfg.Exclude {
		g, err := parseGlob(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("exclude: %w", err))
			continue
		}
		s.exclude = append(s.exclude, g)
	}
	var err error
	if s.form.coding, err = parseCoding(cfg.Encoding); err != nil {
		errs = append(errs, err)
	}
	if cfg.MultilineStart != "" {
		if s.form.start, err = regexp.Compile(cfg.MultilineStart); err != nil {
			errs = append(errs, fmt.Errorf("multiline_start: %w; write it as Go does (RE2), as in '^\\d{4}-'", err))
		}
	} else if cfg.MultilineTimeout != 0 {
		errs = append(errs, errors.New("multiline_timeout: goes with multiline_start, which says how an event begins"))
	}
	s.cfg.MultilineTimeout = cmp.Or(cfg.MultilineTimeout, defaultMultiline)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Run follows the files until ctx ends, saves the positions, and returns nil. It returns an error only where
// the positions file cannot be read although it is there, or where Emit failed while ctx had not ended.
// It may be called once.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	known, err := loadPositions(s.cfg.Positions, s.cfg.Log)
	if err != nil {
		return err
	}
	progress, err := openProgress(s.cfg.Positions+".hot", &known)
	if err != nil {
		s.cfg.Log.Warn("positions are saved a few times a second only; after a kill the lines since then are sent again", "error", err)
	}
	defer progress.close()
	f := &follower{
		Config:   s.cfg,
		progress: progress,
		pace:     s.pace,
		globs:    s.globs,
		exclude:  s.exclude,
		form:     s.form,
		out:      out,
		known:    known,
		watch:    newWatcher(s.cfg.Log),
		saver:    newSaver(s.cfg.Positions),
		stall:    newStall(s.cfg.Log),
		emits:    make(chan []source.Event),
		sent:     make(chan sent, 1),
		dirs:     make(map[string]*dir),
		tracks:   make(map[string]*track),
		tails:    make(map[identity]*tail),
		reals:    make(map[string]*track),

		waiting: make(map[*tail]struct{}),
		buf:     make([]byte, max(chunk, 2*s.cfg.MaxEvent)),
	}
	f.backlog, _ = out.(source.Backlog)
	emitting := make(chan struct{})
	go func() {
		defer close(emitting)
		for b := range f.emits {
			n, err := out.Emit(ctx, b)
			var end uint64
			if f.backlog != nil {
				_, end, _ = f.backlog.Backlog()
			}
			f.sent <- sent{n, end, err}
		}
	}()
	err = f.run(ctx)
	close(f.emits)
	<-emitting
	f.watch.close()
	f.saver.close()
	for _, t := range f.tails {
		t.close()
	}
	return err
}

// sent is what Emit returned for the batch in flight.
type sent struct {
	n   int
	end uint64 // number of an event behind them, 0 where that is not known
	err error
}

// follower is the state of one Run. All of it belongs to the goroutine of run.
type follower struct {
	Config
	pace    pace
	globs   []glob
	exclude []glob
	form    form
	out     source.Output
	known   positions // as loaded; emptied by the first scan

	watch    *watcher
	saver    *saver
	stall    *stall
	progress *progress
	emits    chan []source.Event
	sent     chan sent

	dirs    map[string]*dir     // directories looked at
	tracks  map[string]*track   // by path as matched
	tails   map[identity]*tail  // every open file, once
	reals   map[string]*track   // by the real path of a track whose path is a symbolic link
	index   map[string]dirIndex // directories searched for rotated files; lives for one scan
	scanned bool                // the first scan is done
	rescan  bool                // the directories must be read again
	scanAt  time.Time           // not before, where the last one took long
	polls   int                 // polls so far
	polled  time.Time           // the last one
	crowded bool                // no more files can be opened, as found since the last poll
	said    quota               // of messages about single files

	queue       queue              // tails that may have something to read
	unread      int                // tails not read to their end
	waiting     map[*tail]struct{} // tails to look at every pace.quick
	undelivered undelivered
	backlog     source.Backlog // nil where the output has none
	flying      *tail          // whose batch is in Emit; nil: none
	batch       batch
	buf         []byte

	dirty    bool      // positions differ from those saved
	urgent   bool      // a tail that is not filed waits for the next save
	saving   bool      // the saver is at work
	filing   []*tail   // those that are filed by it
	saveAt   time.Time // not before
	urgentAt time.Time // not before, where it is urgent
	saveLog  time.Time // when a failed save was last logged
}

func (f *follower) run(ctx context.Context) error {
	f.scan()
	f.firstSave()
	f.polled = time.Now()
	timer := time.NewTimer(f.pause())
	defer timer.Stop()
	for {
		f.feed()
		if f.idle() {
			f.out.Idle()
		}
		timer.Reset(f.pause())
		select {
		case <-ctx.Done():
			return f.stop(ctx)
		case r := <-f.sent:
			f.delivered(r)
			if r.err != nil {
				return errors.Join(f.failed(ctx, r.err), f.stop(ctx))
			}
		case <-f.watch.wake:
			f.takeChanges()
		case r := <-f.saver.done:
			f.saved(r)
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
	if f.flying != nil {
		r := <-f.sent
		f.delivered(r)
		if r.err != nil {
			err = f.failed(ctx, r.err)
		}
	}
	if f.saving {
		f.saved(<-f.saver.done)
	}
	if f.dirty {
		f.startSave()
		f.saved(<-f.saver.done)
	}
	return err
}

// pause is the time until the next thing to do that no channel tells of.
func (f *follower) pause() time.Duration {
	d := time.Until(f.polled.Add(f.pace.poll))
	if len(f.waiting) > 0 {
		d = min(d, f.pace.quick)
	}
	if f.dirty && !f.saving {
		d = min(d, time.Until(f.saveDue()))
	}
	if len(f.undelivered.waiting) > 0 {
		d = min(d, f.pace.delivery)
	}
	if f.rescan {
		d = min(d, time.Until(f.scanAt))
	}
	return max(d, 0)
}

// saveDue is when changed positions are to be saved.
func (f *follower) saveDue() time.Time {
	if f.urgent {
		return f.urgentAt
	}
	return f.saveAt
}

// tick does what is due.
func (f *follower) tick() {
	now := time.Now()
	for t := range f.waiting {
		f.push(t)
	}
	if f.dirty && !f.saving && !now.Before(f.saveDue()) {
		f.startSave()
	}
	if now.Sub(f.polled) >= f.pace.poll {
		f.poll()
		end := time.Now()
		f.polled = end.Add(rest(end.Sub(now)))
	}
	f.scanIfDue()
	f.releaseWaiting()
	f.tellMore(now)
}

// idle says that all there is to read has been emitted.
func (f *follower) idle() bool {
	if !f.scanned || f.flying != nil || f.unread > 0 || f.queue.head != nil {
		return false
	}
	for t := range f.waiting {
		if t.rest > 0 {
			return false
		}
	}
	return true
}

// absolute is the name of a path in the positions file, which must not depend on the working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
