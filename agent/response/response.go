// Package response runs what a manager orders as an active response: programs of one directory, out of a list of names, and
// nothing else. What is to be undone after a time is undone then, at a stop, or at the start after a kill.
//
//	order ── parse ── find the program ── run it: add ── report
//	                                         │ with a time
//	                                         ▼
//	                       pending, in the state file ── time, or the end ── run it: delete ── report
//
// Programs get what stock ones get (docs/sources.md, "Active response"): arguments, or a line of JSON on standard input.
package response

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ossecd/agent/source"
	"ossecd/keys/limitlog"
)

// Config says what may be run.
type Config struct {
	Dir   string   // absolute path of the directory of the programs
	Allow []string // names of files in it that may be run, at least one
	Names string   // path of the ar.conf that managers push: which program a name means; it need not exist
	State string   // file with what is to be undone
	Log   *slog.Logger
}

const (
	maxWaiting = 64               // orders that wait
	maxPending = 4096             // undoings that wait
	runWithin  = 30 * time.Second // for each program
	stopWithin = time.Second      // for all undoings at a stop; the next start does the rest

	reportWithin = time.Second
	location     = "active-responses.log"
)

// Source takes orders, and emits an event for each program that is run. Make it with [New].
type Source struct {
	cfg    Config
	orders chan []byte

	out     source.Output // these are for the goroutine of Run
	pending []undo

	mu      sync.Mutex
	refused int // since it was last logged
	limit   limitlog.Limit
}

var _ source.Source = (*Source)(nil)

// New says all that is wrong with the configuration. It touches no file.
func New(cfg Config) (*Source, error) {
	var faults []error
	if !filepath.IsAbs(cfg.Dir) {
		faults = append(faults, fmt.Errorf("dir: %q; give the absolute path of the directory with the programs", cfg.Dir))
	}
	if len(cfg.Allow) == 0 {
		faults = append(faults, errors.New("allow: none given; name the programs in dir that a manager may have run"))
	}
	for _, name := range cfg.Allow {
		if !plainName(name) {
			faults = append(faults, fmt.Errorf("allow: %.80q is not a file name; give names in dir, without a path", name))
		}
	}
	faults = append(faults, supported())
	cfg.Dir = filepath.Clean(cfg.Dir)
	return &Source{cfg: cfg, orders: make(chan []byte, maxWaiting)}, errors.Join(faults...)
}

// plainName says that a name is one of a file in a directory.
func plainName(name string) bool {
	return name != "" && len(name) <= 200 && name[0] != '.' && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '\\' })
}

// Check says what this host lacks for it.
func (s *Source) Check() error {
	var faults []error
	for _, name := range s.cfg.Allow {
		if _, err := find(s.cfg.Dir, name); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// Order takes what stands behind proto.Execd. It never waits, and copies what it keeps. It may be called by any goroutine.
func (s *Source) Order(text []byte) {
	select {
	case s.orders <- slices.Clone(text):
	default:
		s.refuse(errTooMany)
	}
}

var errTooMany = errors.New("too many at once; find out why the manager orders so many")

// refuse logs why an order is not obeyed, at most once a minute for orders that are not understood or allowed.
func (s *Source) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
	if s.limit.Due(time.Now()) {
		s.cfg.Log.Warn("an active response was refused", "err", err, "refused", s.refused, "remedy", "if it should run, add the program to allow; otherwise find out why the manager orders it")
		s.refused = 0
	}
}

// Run obeys until ctx ends, and then undoes what is to be undone.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	pending, err := load(s.cfg.State)
	if err != nil {
		return err
	}
	s.out = out
	if s.pending = pending; len(pending) > 0 {
		s.cfg.Log.Info("undoing active responses of the run before", "count", len(pending))
		s.undoAll(ctx)
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.next())
		select {
		case <-ctx.Done():
			last, done := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
			s.undoAll(last)
			done()
			return nil
		case text := <-s.orders:
			s.obey(ctx, text)
		case <-timer.C:
			s.undoDue(ctx)
		}
	}
}

// obey runs what an order says. What is to be undone is noted before it is done, so that a kill in between leaves it noted.
func (s *Source) obey(ctx context.Context, text []byte) {
	o, err := parse(text)
	if err != nil {
		s.refuse(err)
		return
	}
	name, timeout, ok := named(s.cfg.Names, o.name, s.cfg.Allow)
	if !ok {
		if name, timeout, err = resolve(o.name, s.cfg.Allow); err != nil {
			s.refuse(err)
			return
		}
	}
	u := undo{Program: name, Args: o.args, JSON: o.json}
	begin := func(keys []string) bool {
		u.Keys = keys
		return timeout == 0 || s.note(u, timeout)
	}
	if o.json == nil && !begin(o.args[:min(len(o.args), 2)]) { // user and address
		return
	}
	if err := s.run(ctx, "add", u, begin); err != nil && ctx.Err() == nil && !errors.Is(err, errAborted) {
		s.pending = slices.DeleteFunc(s.pending, func(p undo) bool { return p.same(u) })
		s.save()
	}
}

// note notes what is to be undone. It says false where the same is in force already, which then stays as long as if it were done
// now.
func (s *Source) note(u undo, timeout time.Duration) bool {
	u.Due = time.Now().Add(timeout)
	i := slices.IndexFunc(s.pending, u.same)
	switch {
	case i >= 0:
		s.pending[i].Due = u.Due
		s.cfg.Log.Debug("an active response is in force already", "program", u.Program, "keys", u.Keys)
	case len(s.pending) >= maxPending:
		s.refuse(errTooMany)
		return false
	default:
		s.pending = append(s.pending, u)
	}
	s.save()
	return i < 0
}

// run runs a program, logs and reports it. mayGoOn answers one that asks whether it shall.
func (s *Source) run(ctx context.Context, action string, u undo, mayGoOn func(keys []string) bool) error {
	path, err := find(s.cfg.Dir, u.Program)
	if err != nil {
		s.refuse(err)
		return err
	}
	limit, cancel := context.WithTimeoutCause(ctx, runWithin, errTimeout)
	defer cancel()
	about := u.Args
	if u.JSON != nil {
		var keys []string
		keys, err = execJSON(limit, path, action, u.JSON, mayGoOn)
		if about = u.Keys; keys != nil {
			about = keys
		}
	} else {
		err = execArgs(limit, path, append([]string{action}, u.Args...))
	}
	if errors.Is(err, errAborted) {
		return err
	}
	line := time.Now().UTC().Format(time.UnixDate) + " " + strings.Join(append([]string{path, action}, about...), " ")
	if err != nil {
		s.cfg.Log.Warn("an active response failed", "program", path, "action", action, "args", about, "err", err, "remedy", "run it by hand, as this user")
		line += fmt.Sprintf(" (failed: %.200s)", err)
	} else {
		s.cfg.Log.Info("active response", "program", path, "action", action, "args", about)
	}
	s.report(ctx, line)
	return err
}

// report emits an event. Where that is not possible soon the log has to do: what a program is to do must not wait for it.
func (s *Source) report(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportWithin)
	defer cancel()
	if n, err := s.out.Emit(ctx, []source.Event{{Queue: '1', Location: location, Message: []byte(text)}}); n == 0 {
		s.cfg.Log.Warn("an active response could not be reported", "text", text, "err", err, "remedy", "find out why no manager takes events, or give the agent a spool: --spool-size")
	}
}

// next is the time until the first undoing.
func (s *Source) next() time.Duration {
	if len(s.pending) == 0 {
		return time.Hour
	}
	first := slices.MinFunc(s.pending, func(a, b undo) int { return a.Due.Compare(b.Due) })
	return cmp.Or(max(time.Until(first.Due), 0), 1)
}

func (s *Source) undoDue(ctx context.Context) {
	now := time.Now()
	s.undo(ctx, func(u undo) bool { return !now.Before(u.Due) })
}

func (s *Source) undoAll(ctx context.Context) { s.undo(ctx, func(undo) bool { return true }) }

// undo undoes those that are meant, until ctx ends. One that fails is not tried again.
func (s *Source) undo(ctx context.Context, meant func(undo) bool) {
	n := len(s.pending)
	s.pending = slices.DeleteFunc(s.pending, func(u undo) bool {
		if ctx.Err() != nil || !meant(u) {
			return false
		}
		err := s.run(ctx, "delete", u, nil)
		return err == nil || ctx.Err() == nil
	})
	if len(s.pending) != n {
		s.save()
	}
}

func (s *Source) save() {
	if err := store(s.cfg.State, s.pending); err != nil {
		s.cfg.Log.Warn("active responses in force are not saved; after a kill they would not be undone", "err", err)
	}
}
