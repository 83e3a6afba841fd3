// Package file follows log files: appended lines become events of queue '1' whose location is the path.
//
// One goroutine, the follower's, owns all state. Others serve it: one stands in Emit while the follower goes on noticing rotations, and
// each save of the positions has one.
//
//	fsnotify ─► watcher ─┐ changed paths                         ┌─► emit ─► Output.Emit
//	                     ▼                                       │ one batch    │ n sent
//	poll ──────────► discovery: scan, check paths ─► turns ─► reader: a chunk ◄──┘
//	                     │ directories, rotated     paths │          │ copies; offset += what was sent
//	                     └────────────────────────────────┴──► saving ─► positions file
//
// The types know each other in one direction: discovery and reader use copies and rotated, these use paths, and paths use directories, turns and
// saving. Each part keeps what it knows of an open file in a struct of its own in tail.
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
	"regexp"
	"time"

	"ossecd/agent/source"
	"ossecd/agent/source/file/compressed"
	"ossecd/agent/source/file/pattern"
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

// settings is the configuration as all parts of a source use it.
type settings struct {
	Config
	patterns pattern.Set
	form     form
	pace     pace
}

// Source follows files. Make it with [New].
type Source struct{ settings settings }

var _ source.Source = (*Source)(nil)

// New checks the configuration; it reads no file.
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
	s := settings{Config: cfg, pace: stockPace}
	var err, badGlobs, badExclude error
	if cfg.Compressed {
		s.patterns.Skip = compressed.IsName
	}
	s.patterns.Patterns, badGlobs = pattern.ParseAll("file", cfg.Globs)
	s.patterns.Exclude, badExclude = pattern.ParseAll("exclude", cfg.Exclude)
	errs = append(errs, badGlobs, badExclude)
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
	s.MultilineTimeout = cmp.Or(cfg.MultilineTimeout, defaultMultiline)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Source{s}, nil
}

// Found counts the files that the globs stand for at present, and names the globs that stand for none. A file that two globs
// match counts once. It may be called while Run runs.
func (s *Source) Found() (files int, none []string) { return s.settings.patterns.Count() }

// Run follows the files until ctx ends, saves the positions, and returns nil. It returns an error only where
// the positions file cannot be read although it is there, or where Emit failed while ctx had not ended.
// It may be called once.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	f, err := newFollower(&s.settings, out)
	if err != nil {
		return err
	}
	defer f.close()
	emitting := make(chan struct{})
	go func() {
		defer close(emitting)
		f.reader.emit(ctx, out)
	}()
	err = f.run(ctx)
	close(f.reader.emits)
	<-emitting
	return err
}
