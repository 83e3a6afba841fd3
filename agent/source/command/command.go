// Package command runs a program at intervals. What it prints becomes events, in the form of the stock collector
// (docs/protocol.md, "Events"): one for each line, or one for the whole output.
//
// Unlike the stock collector, it uses no shell unless asked to. It kills a program that takes too long, with all that it started. It
// bounds what it reads, and keeps a last line that has no newline.
package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"ossecd/agent/source"
)

// Config says what to run. The zero value of a field has the default named there, if any.
type Config struct {
	Command   []string      // a program and its arguments
	Shell     string        // or a line for /bin/sh -c
	Whole     bool          // the output is one event, not one for each line
	Alias     string        // stands for the command in events and their location; default: the command, joined with blanks
	Location  string        // of the events, default: the alias
	Interval  time.Duration // from one start to the next, default 6 minutes, 1 s to 30 days
	Timeout   time.Duration // after which it is killed, default 1 minute, up to a day
	MaxOutput int           // bytes of output that are used, default 64 KiB, 1 to 16 MiB
	MaxEvent  int           // largest QUEUE:LOCATION:MESSAGE in bytes that the channel takes
	Finish    bool          // it is run once only
	Log       *slog.Logger
}

const (
	defaultInterval = 6 * time.Minute // the stock collector's
	leastInterval   = time.Second
	mostInterval    = 30 * 24 * time.Hour
	defaultTimeout  = time.Minute
	mostTimeout     = 24 * time.Hour
	defaultOutput   = 64 << 10
	MostOutput      = 16 << 20
	maxName         = 1024 // bytes of a command in an event
)

// Source runs a command. Make it with [New].
type Source struct {
	cfg    Config
	name   string // the command in events
	failed string // how it went wrong last, as logged
}

var _ source.Source = (*Source)(nil)

// New checks the configuration, and says all that is wrong with it. It runs nothing.
func New(cfg Config) (*Source, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	name := strings.Join(cfg.Command, " ")
	switch {
	case len(cfg.Command) > 0 && cfg.Shell != "":
		fault("shell: cannot stand beside command; use one of them")
	case cfg.Shell != "":
		name = cfg.Shell
		if runtime.GOOS == "windows" {
			fault(`shell: there is no /bin/sh on Windows; use command = ["cmd", "/c", "…"]`)
		}
	case len(cfg.Command) == 0 || cfg.Command[0] == "":
		fault(`command: none given; name a program and its arguments, as in command = ["df", "-P"]`)
	}
	for _, word := range append([]string{cfg.Shell}, cfg.Command...) {
		if strings.Contains(word, "\x00") {
			fault("command: %q holds a NUL byte, which no argument can; leave it out", word)
		}
	}
	if cfg.Alias != "" {
		name = cfg.Alias
	}
	if len(name) > maxName || strings.ContainsFunc(name, isControl) {
		fault("alias: %.60q is too long for events, or has control characters; use a short line of text, up to %d bytes, in place of the command", name, maxName)
	}
	setDefault(&cfg.Interval, defaultInterval)
	setDefault(&cfg.Timeout, defaultTimeout)
	setDefault(&cfg.MaxOutput, defaultOutput)
	if cfg.Interval < leastInterval || cfg.Interval > mostInterval {
		fault("interval: %v; use %v to %v", cfg.Interval, leastInterval, mostInterval)
	}
	if cfg.Timeout <= 0 || cfg.Timeout > mostTimeout {
		fault("timeout: %v; use a duration above zero, up to %v", cfg.Timeout, mostTimeout)
	}
	if cfg.MaxOutput <= 0 || cfg.MaxOutput > MostOutput {
		fault("max_output: %d; use 1 to %d bytes", cfg.MaxOutput, MostOutput)
	}
	s := &Source{cfg: cfg, name: inEvents(name)}
	if s.cfg.Location == "" {
		s.cfg.Location = s.name
	}
	return s, errors.Join(faults...)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Check says whether the program is there.
func (s *Source) Check() error {
	argv := s.argv()
	if _, err := exec.LookPath(argv[0]); err != nil {
		return fmt.Errorf("command: %w; install it, or name it with its whole path", err)
	}
	return nil
}

func (s *Source) argv() []string {
	if s.cfg.Shell != "" {
		return []string{"/bin/sh", "-c", s.cfg.Shell}
	}
	return s.cfg.Command
}

// Run runs the command at once, and then at each interval, until ctx ends. Where events wait longer than that, runs
// are left out.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		output, err := s.execute(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.judge(err)
		if err := s.emit(ctx, out, output); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		out.Idle()
		if s.cfg.Finish {
			<-ctx.Done()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// judge logs what goes wrong, once until that changes.
func (s *Source) judge(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == s.failed {
		return
	}
	s.failed = text
	if err == nil {
		s.cfg.Log.Info("a command succeeds again", "command", s.name)
		return
	}
	s.cfg.Log.Warn("a command failed", "command", s.name, "err", err, "remedy", "run it by hand as this user; it is tried again", "interval", s.cfg.Interval)
}

func (s *Source) emit(ctx context.Context, out source.Output, output []byte) error {
	events, cut := s.events(output)
	if cut > 0 {
		s.cfg.Log.Warn("the output of a command was cut", "command", s.name, "bytes", len(output), "lost", cut, "remedy", "make the command print less, or use type command, which sends an event for each line")
	}
	_, err := out.Emit(ctx, events)
	return err
}
