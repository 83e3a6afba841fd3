package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent/source"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"":                        {Channels: []string{"Security", "Microsoft-Windows-Sysmon/Operational"}, Query: "*[System[Level<=3]]", State: "x"},
		"channels: none given":    {State: "x"},
		"is no name of a channel": {Channels: []string{"a\x00b"}, State: "x"},
		"is given twice":          {Channels: []string{"Security", "security"}, State: "x"},
		"query: has control":      {Channels: []string{"Security"}, Query: "a\nb", State: "x"},
		"use up to 60":            {Channels: slices.Repeat([]string{"x"}, 61), State: "x"},
		"state: no file":          {Channels: []string{"Security"}},
	} {
		_, err := New(cfg)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Channels: []string{"Security"}, State: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); (err == nil) != (runtime.GOOS == "windows") {
		t.Errorf("on %s: %v", runtime.GOOS, err)
	}
}

// fakeLog is an Event Log. A bookmark is the number of the next entry.
type fakeLog struct {
	mu     sync.Mutex
	all    map[string][]entry
	more   chan struct{} // closed when something was added
	broken error
	opened []string // with which bookmarks
}

func newFakeLog() *fakeLog {
	return &fakeLog{all: make(map[string][]entry), more: make(chan struct{})}
}

func (l *fakeLog) add(channel string, messages ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		l.all[channel] = append(l.all[channel], entry{xml: strings.Replace(service, "<Channel>System<", "<Channel>"+channel+"<", 1), message: m})
	}
	close(l.more)
	l.more = make(chan struct{})
}

func (l *fakeLog) open(cfg *Config, name, bookmark string) (channel, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = append(l.opened, name+"="+bookmark)
	if l.broken != nil {
		return nil, l.broken
	}
	at := len(l.all[name])
	if cfg.FromStart || cfg.Finish {
		at = 0
	}
	if n, err := strconv.Atoi(bookmark); err == nil {
		at = n
	}
	return &fakeChannel{l, name, at}, nil
}

type fakeChannel struct {
	log  *fakeLog
	name string
	at   int
}

func (c *fakeChannel) read(ctx context.Context, wait bool) ([]entry, error) {
	for {
		c.log.mu.Lock()
		rest, more, broken := c.log.all[c.name][c.at:], c.log.more, c.log.broken
		c.log.mu.Unlock()
		switch n := min(len(rest), 3); {
		case broken != nil:
			return nil, broken
		case n > 0:
			c.at += n
			return rest[:n], nil
		case !wait:
			return nil, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *fakeChannel) bookmark() (string, error) { return strconv.Itoa(c.at), nil }
func (c *fakeChannel) close()                    {}

// output takes events until it is told to fail.
type output struct {
	mu     sync.Mutex
	events []string
	idle   int
	most   int // events that it takes before it fails; 0 for no bound
}

func (o *output) Emit(ctx context.Context, batch []source.Event) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, e := range batch {
		if o.most > 0 && len(o.events) == o.most {
			return i, context.Canceled
		}
		text := string(e.Message)
		if _, message, ok := strings.Cut(text, ": PC1: "); ok {
			text = message
		}
		o.events = append(o.events, fmt.Sprintf("%c %s %s", e.Queue, e.Location, text))
	}
	return len(batch), nil
}

func (o *output) Idle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idle++
}

func (o *output) take() (events []string, idle int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	events, idle = o.events, o.idle
	o.events, o.idle = nil, 0
	return events, idle
}

// rig is a source on a fake log, in a bubble.
type rig struct {
	t    *testing.T
	cfg  Config
	log  *fakeLog
	out  *output
	said *strings.Builder
	stop func() error
}

func newRig(t *testing.T) *rig {
	said := new(strings.Builder)
	return &rig{t: t, log: newFakeLog(), out: new(output), said: said, cfg: Config{Channels: []string{"System", "Security"},
		State: filepath.Join(t.TempDir(), "eventlog.json"), MaxEvent: 6000, Log: slog.New(slog.NewTextHandler(said, nil))}}
}

func (r *rig) start() {
	r.t.Helper()
	s, err := New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	s.open, s.check = r.log.open, func() error { return nil }
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, r.out) }()
	r.stop = func() error {
		cancel()
		return <-done
	}
	synctest.Wait()
}

func (r *rig) want(events ...string) {
	r.t.Helper()
	synctest.Wait()
	got, _ := r.out.take()
	slices.Sort(got)
	slices.Sort(events)
	if !slices.Equal(got, events) {
		r.t.Errorf("got %q, want %q", got, events)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.log.add("System", "old")
		r.start()
		r.want()
		r.log.add("System", "1", "2", "3", "4", "5")
		r.log.add("Security", "a")
		r.want("1 WinEvtLog 1", "1 WinEvtLog 2", "1 WinEvtLog 3", "1 WinEvtLog 4", "1 WinEvtLog 5", "1 WinEvtLog a")
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		r.log.add("System", "6")
		r.log.add("Security", strings.Repeat("x", 7000))
		r.start()
		synctest.Wait()
		got, idle := r.out.take()
		if len(got) != 3 || idle == 0 || !slices.Contains(got, "1 WinEvtLog 6") || strings.Count(strings.Join(got, ""), "x") != 7000 {
			t.Errorf("after a stop: %d events, idle %d: %.300q", len(got), idle, got)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What was not taken comes again; the place of what was taken outlives a kill but for a second.
func TestPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.FromStart = true
		r.log.add("System", "1", "2", "3", "4", "5")
		r.out.most = 4
		r.start()
		if err := r.stop(); !errors.Is(err, context.Canceled) && err != nil {
			t.Error(err)
		}
		r.want("1 WinEvtLog 1", "1 WinEvtLog 2", "1 WinEvtLog 3", "1 WinEvtLog 4")
		r.out.most = 0
		r.start()
		r.want("1 WinEvtLog 4", "1 WinEvtLog 5")
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if text, err := os.ReadFile(r.cfg.State); err != nil || string(text) != `{"System":"5"}`+"\n" {
			t.Errorf("the state is %q, %v", text, err)
		}
		r.stop()
		if err := os.WriteFile(r.cfg.State, []byte("junk"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.stop()
		synctest.Wait()
		if got, _ := r.out.take(); len(got) != 5 || !strings.Contains(r.said.String(), "the positions in the Event Log were lost") {
			t.Errorf("after a damage: %q\n%s", got, r.said)
		}
	})
}

func TestBrokenChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Channels = []string{"System"}
		r.start()
		r.log.add("System", "1")
		r.want("1 WinEvtLog 1")
		r.log.mu.Lock()
		r.log.broken = errors.New("access is denied")
		r.log.mu.Unlock()
		r.log.add("System", "2")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := len(r.log.opened); n < 4 || n > 7 || !strings.Contains(r.said.String(), "access is denied") {
			t.Errorf("opened %d times\n%s", n, r.said)
		}
		r.log.mu.Lock()
		r.log.broken = nil
		r.log.mu.Unlock()
		time.Sleep(time.Minute)
		r.want("1 WinEvtLog 2")
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Finish = true
		r.log.add("System", "1", "2")
		r.log.add("Security", "a")
		r.start()
		synctest.Wait()
		if got, idle := r.out.take(); len(got) != 3 || idle == 0 {
			t.Errorf("%q, idle %d", got, idle)
		}
		r.log.add("System", "3")
		r.want()
		r.stop()
	})
}
