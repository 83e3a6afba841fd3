// Package eventlog follows channels of the Windows Event Log. Their entries become events in the form of the stock agent
// (docs/protocol.md, "Events").
//
//	channel ─ entries as XML ─▶ follow ─▶ Emit
//	   ▲                          │ bookmark behind what was sent
//	   └─ subscribed behind it ◀──┴─ state file
//
// A bookmark is Windows' own name of a position in a channel. The saved one is behind the last entry that was sent whole. So a kill
// can have an entry sent twice, but never left out.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"ossecd/agent/source"
)

// Config says what to follow. The zero value of a field has the default named there, if any.
type Config struct {
	Channels  []string // such as "Security" or "Microsoft-Windows-Sysmon/Operational"
	Query     string   // those entries alone that this XPath selects, such as "*[System[Level<=3]]"; default all
	FromStart bool     // where nothing is known yet, a channel is read from its oldest entry, not from now on
	Location  string   // of the events, default "WinEvtLog"
	State     string   // path of the file with the bookmarks; its directory must exist when Run is called
	MaxEvent  int      // largest QUEUE:LOCATION:MESSAGE in bytes that the channel to the manager takes; longer messages become several events
	Finish    bool     // what is there is read, and nothing more
	Log       *slog.Logger
}

const (
	maxChannels = 60  // Windows waits for no more than 64 things at once
	maxChannel  = 256 // bytes of a channel's name
	maxQuery    = 8 << 10
	maxBatch    = 64 // entries
)

// pace holds the intervals, so that tests need not wait.
type pace struct {
	again     time.Duration // before a channel is opened anew; doubled each time it gives no entry,
	againMost time.Duration // up to this
	save      time.Duration // from one save of the bookmarks to the next at least
}

var usualPace = pace{again: time.Second, againMost: time.Minute, save: time.Second}

// channel is one of the Event Log that is open. It is for one goroutine.
type channel interface {
	// read returns the next entries, maxBatch at most, in their order. It waits until there is one, or ctx ends, whose error it
	// returns then; where it is not to wait, none says that there is none.
	read(ctx context.Context, wait bool) ([]entry, error)
	// bookmark names the place behind the last entry that was read.
	bookmark() (string, error)
	close()
}

// Source follows channels. Make it with [New].
type Source struct {
	cfg  Config
	pace pace

	check func() error                                              // whether there is an Event Log
	open  func(cfg *Config, name, bookmark string) (channel, error) // behind the bookmark, if there is one
}

var _ source.Source = (*Source)(nil)

// New checks the configuration, and says all that is wrong with it. It opens nothing.
func New(cfg Config) (*Source, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	seen := make(map[string]bool)
	for _, name := range cfg.Channels {
		low := strings.ToLower(name)
		switch {
		case name == "" || len(name) > maxChannel || strings.ContainsFunc(name, isControl):
			fault(`channels: %.100q is no name of a channel; wevtutil el lists them`, name)
		case seen[low]:
			fault("channels: %q is given twice; once is enough", name)
		}
		seen[low] = true
	}
	switch n := len(cfg.Channels); {
	case n == 0:
		fault(`channels: none given; name those to follow, as ["Security", "System", "Application"]`)
	case n > maxChannels:
		fault("channels: %d; use up to %d in one table", n, maxChannels)
	}
	if len(cfg.Query) > maxQuery || strings.ContainsFunc(cfg.Query, isControl) {
		fault("query: has control characters, or over %d bytes; give an XPath as the Event Viewer shows it", maxQuery)
	}
	if cfg.State == "" {
		fault("state: no file given; name one for the bookmarks")
	}
	if cfg.Location == "" {
		cfg.Location = "WinEvtLog"
	}
	return &Source{cfg: cfg, pace: usualPace, check: checkEventLog, open: openChannel}, errors.Join(faults...)
}

// Check says whether there is an Event Log.
func (s *Source) Check() error { return s.check() }

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Run follows the channels until ctx ends, and saves the bookmarks. It returns an error where there is no Event Log.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	if err := s.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := s.load()
	var all sync.WaitGroup
	idle := newIdle(len(s.cfg.Channels), out)
	for i, name := range s.cfg.Channels {
		all.Go(func() {
			f := follower{Source: s, out: out, name: name, places: places, idle: func(is bool) { idle.set(i, is) }}
			if err := f.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	saving := time.NewTicker(s.pace.save)
	defer saving.Stop()
	for {
		select {
		case <-saving.C:
			places.save()
		case <-ctx.Done():
			all.Wait()
			places.save()
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
	}
}

// idle tells the output when all channels have nothing more.
type idle struct {
	mu   sync.Mutex
	is   []bool
	busy int
	out  source.Output
}

func newIdle(n int, out source.Output) *idle { return &idle{is: make([]bool, n), busy: n, out: out} }

func (d *idle) set(i int, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.is[i] != is {
		d.is[i] = is
		if is {
			d.busy--
		} else {
			d.busy++
		}
	}
	if d.busy == 0 {
		d.out.Idle()
	}
}
