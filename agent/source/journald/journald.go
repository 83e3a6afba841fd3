// Package journald follows systemd's journal. It runs a journalctl that writes JSON, and runs it again if it ends. Entries become
// events in the form of the stock collector (docs/protocol.md, "Events"). If an entry has the number of the process, it stands after
// the name, as in a syslog file.
//
//	journalctl ─ JSON lines ─▶ reader ─ entries ─▶ Run ─▶ Emit
//	     ▲                                          │ cursor of what was sent
//	     └────────── --after-cursor ◀── state file ◀┘
//
// A cursor names an entry. The saved one is that of the last entry that was sent whole. So a kill can have an entry sent twice, but
// never left out. It takes a journalctl of systemd 236 (2017) or later.
package journald

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"ossecd/agent/source"
)

// Config says what to follow. The zero value of a field has the default named there, if any.
type Config struct {
	Units       []string // those entries alone that are of one of these units, such as "ssh.service"
	Identifiers []string // and were logged under one of these names
	Priority    string   // and are at least that grave: a name such as "warning", a number from 0 to 7, or a range "crit..err"
	FromStart   bool     // where nothing is known yet, the journal is read from its beginning, not from now on
	Location    string   // of the events, default "journald"
	State       string   // path of the file with the cursor; its directory must exist when Run is called
	MaxEvent    int      // largest QUEUE:LOCATION:MESSAGE in bytes that the channel takes; longer messages become several events
	Finish      bool     // what is there is read, and nothing more
	Log         *slog.Logger

	Program []string // how journalctl is called, default: by that name
}

const (
	program   = "journalctl"
	maxFilter = 100 // names of units, or of identifiers
	maxName   = 256 // bytes of one
)

// pace holds the intervals, so that tests need not wait.
type pace struct {
	again     time.Duration // before journalctl is run anew; doubled each time it ends without an entry,
	againMost time.Duration // up to this
	save      time.Duration // from one save of the cursor to the next at least
}

var usualPace = pace{again: time.Second, againMost: time.Minute, save: time.Second}

// Source follows the journal. Make it with [New].
type Source struct {
	cfg  Config
	pace pace
}

var _ source.Source = (*Source)(nil)

// New checks the configuration, and says all that is wrong with it. It runs nothing.
func New(cfg Config) (*Source, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for key, names := range map[string][]string{"units": cfg.Units, "identifiers": cfg.Identifiers} {
		if len(names) > maxFilter {
			fault("%s: %d names; use up to %d, or leave them out to have all", key, len(names), maxFilter)
		}
		for _, name := range names {
			if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				fault("%s: %.100q is not a name; write it as journalctl shows it", key, name)
			}
		}
	}
	if !isPriority(cfg.Priority) {
		fault(`priority: %.40q is unknown; use emerg, alert, crit, err, warning, notice, info, debug, a number from 0 to 7, or a range such as "crit..err"`, cfg.Priority)
	}
	if cfg.State == "" {
		fault("state: no file given; name one for the cursor")
	}
	if cfg.Location == "" {
		cfg.Location = "journald"
	}
	if len(cfg.Program) == 0 {
		cfg.Program = []string{program}
	}
	return &Source{cfg, usualPace}, errors.Join(faults...)
}

// isPriority says that p is one, or a range of two, or empty.
func isPriority(p string) bool {
	if p == "" {
		return true
	}
	from, to, isRange := strings.Cut(p, "..")
	const known = " emerg alert crit err warning notice info debug 0 1 2 3 4 5 6 7 "
	one := func(s string) bool { return s != "" && !strings.Contains(s, " ") && strings.Contains(known, " "+s+" ") }
	return one(from) && (!isRange || one(to))
}

// Check says whether journalctl is there.
func (s *Source) Check() error {
	if _, err := exec.LookPath(s.cfg.Program[0]); err != nil {
		return fmt.Errorf("journald: %w; it comes with systemd, without which there is no journal: follow the files under /var/log with type file", err)
	}
	return nil
}

// Run follows the journal until ctx ends, and saves the cursor. It returns an error where there is no journalctl.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	if err := s.Check(); err != nil {
		return err
	}
	f := &follower{Source: s, out: out, cursor: s.load()}
	f.dirty = f.cursor.Cursor == "" // where reading began is kept, too
	defer f.save()
	pause := s.pace.again
	for {
		got, err := f.follow(ctx)
		var failed *emitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &failed):
			return failed.err
		case s.cfg.Finish && err == nil:
			out.Idle()
			<-ctx.Done()
			return nil
		}
		if got {
			pause = s.pace.again
		}
		s.cfg.Log.Warn("journalctl ended and is run again", "err", err, "after", pause, "remedy", "run journalctl by hand as this user, who must be in the group systemd-journal")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, s.pace.againMost)
	}
}

// args are those of journalctl.
func (s *Source) args(c cursor) []string {
	args := []string{
		"--output=json", "--all", "--no-pager", "--no-tail",
		"--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_COMM,_PID,_HOSTNAME",
	}
	if !s.cfg.Finish {
		args = append(args, "--follow")
	}
	switch {
	case c.Cursor != "":
		args = append(args, "--after-cursor="+c.Cursor)
	case c.Since != "":
		args = append(args, "--since=@"+c.Since)
	}
	for _, u := range s.cfg.Units {
		args = append(args, "--unit="+u)
	}
	for _, i := range s.cfg.Identifiers {
		args = append(args, "--identifier="+i)
	}
	if s.cfg.Priority != "" {
		args = append(args, "--priority="+s.cfg.Priority)
	}
	return args
}
