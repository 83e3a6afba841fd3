package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent/source"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

// count is how many events of the feed, and how many keepalives, were heard.
func count(got []heard) (events, keepalives int) {
	for _, h := range got {
		switch {
		case strings.HasPrefix(h.text, "1:/var/log/test"):
			events++
		case kind(h.text) == "keepalive":
			keepalives++
		}
	}
	return events, keepalives
}

// A manager that takes nothing in gets no more than the window, and its answer opens the next one.
func TestWindow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		event source.Event
		most  int // events in a window
	}{
		{"small events", source.Event{Queue: '1', Location: "/var/log/test", Message: []byte("x")}, 115},
		{"large events", source.Event{Queue: '1', Location: "/var/log/test", Message: noise(5000)}, 17},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Conditions{})
				m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
				r := newRig(t, n, anyKey)
				r.cfg.NotifyTime, r.cfg.TimeReconnect = time.Hour, 3*time.Hour
				r.start()
				m.answerWith(silent)
				m.take()
				batch := make([]source.Event, 1000)
				for i := range batch {
					batch[i] = tt.event
				}
				r.feed.batches <- batch
				synctest.Wait()
				events, probes := count(m.take())
				// The event of the start is the first in the window.
				if events < tt.most-1 || events > tt.most || probes != 1 && probes != 2 {
					t.Errorf("%d events and %d probes were sent unanswered, want %d and 1 or 2", events, probes, tt.most)
				}
				time.Sleep(20 * time.Second)
				wantTimeline(t, m.take(), `
					1 keepalive
					2 keepalive
					4 keepalive
					8 keepalive
					16 keepalive`)
				m.answerWith(acknowledge)
				time.Sleep(30 * time.Second)
				if got, _ := count(m.take()); got != 1000-events {
					t.Errorf("%d events came after the answer, want %d", got, 1000-events)
				}
				if n.Dropped() > 0 {
					t.Errorf("%d datagrams overran a buffer", n.Dropped())
				}
				r.mustStop()
				m.close()
			})
		})
	}
}

// noise is n bytes that cannot be deflated, without any that end a line.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return bytes.ReplaceAll(b, []byte{'\n'}, []byte{'.'})
}

// A fast reader, a manager that takes a millisecond for each datagram: nothing is lost, and nothing waits.
func TestSlowManagerIsNotOverrun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{Delay: 5 * time.Millisecond})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		m.answerWith(func(text string) []string {
			time.Sleep(time.Millisecond)
			return acknowledge(text)
		})
		r := newRig(t, n, anyKey)
		r.start()
		for i := range 20 {
			r.feed.batches <- lines(100*i, 100)
		}
		time.Sleep(2500 * time.Millisecond)
		if events, _ := count(m.take()); events != 2000 || n.Dropped() != 0 {
			t.Errorf("%d of 2000 events came in 2.5 s, %d were dropped", events, n.Dropped())
		}
		r.mustStop()
		m.close()
	})
}

// Few events want no keepalives beyond the regular ones.
func TestNoProbesAtLowRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.NotifyTime, r.cfg.TimeReconnect = time.Minute, 3*time.Minute
		r.start()
		for i := range 600 {
			r.feed.batches <- lines(i, 1)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		if events, keepalives := count(m.take()); events != 600 || keepalives != 11 {
			t.Errorf("%d events and %d keepalives in 10 minutes, want 600 and 11", events, keepalives)
		}
		r.mustStop()
		m.close()
	})
}

// 10 % loss, repeats and reordering each: nothing is delivered twice, each source's events that arrive are the ones
// it was told of, and the agent never gets stuck.
func TestLossyNetwork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(seed, simnet.Conditions{Loss: 0.1, Repeat: 0.1, Reorder: 0.1, Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
			m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
			r := newRig(t, n, anyKey)
			other := newFeed()
			r.cfg.Sources = append(r.cfg.Sources, other)
			r.start()
			for i := range 25 {
				r.feed.batches <- lines(100*i, 100)
				other.batches <- lines(1_000_000+100*i, 100)
			}
			time.Sleep(time.Minute)
			if sent := r.feed.count() + other.count(); sent != 5_000 {
				t.Errorf("seed %d: stuck after %d of 5,000 events", seed, sent)
			}
			got := m.take()
			seen := map[string]bool{}
			for _, h := range got {
				if strings.HasPrefix(h.text, "1:/var") && seen[h.text] {
					t.Errorf("seed %d: %q came twice", seed, h.text)
				}
				seen[h.text] = true
			}
			if events, _ := count(got); events < 4_300 || events > 4_700 {
				t.Errorf("seed %d: %d events came, want about 4,500", seed, events)
			}
			n.SetConditions(simnet.Conditions{})
			time.Sleep(time.Minute)
			if got := r.log.Count("offline"); got > 1 {
				t.Errorf("seed %d: offline %d times", seed, got)
			}
			r.mustStop()
			m.close()
		})
	}
}

func TestEventOverTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		m.take()
		long := lines(1, 1)
		long[0].Message = []byte(strings.Repeat("x", 7000))
		r.feed.batches <- long
		r.feed.batches <- lines(2, 1)
		synctest.Wait()
		got := m.take()
		if len(got) != 2 || len(got[0].text) != proto.MaxMessageOSSEC || r.log.Count("was cut", "remedy") != 1 {
			t.Errorf("%d messages, log:\n%v", len(got), r.log)
		}
		r.mustStop()
		m.close()
	})
}

// A source that fails is logged; the last one ends the agent.
func TestSourcesThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		r := newRig(t, n, anyKey)
		first, second := errors.New("no such log"), errors.New("no such journal")
		quick, slow := failing{first, 0}, failing{second, time.Hour}
		r.cfg.Sources = []source.Source{quick, slow}
		r.start()
		time.Sleep(time.Minute)
		if r.log.Count("level=ERROR", first.Error(), "remedy") != 1 {
			t.Errorf("log:\n%v", r.log)
		}
		err := <-r.ended
		if !errors.Is(err, first) || !errors.Is(err, second) {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); took != time.Hour {
			t.Errorf("it ended after %v", took)
		}
	})
}

// failing is a source that fails after a while.
type failing struct {
	err   error
	after time.Duration
}

func (f failing) Run(ctx context.Context, _ source.Output) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(f.after):
		return fmt.Errorf("source: %w", f.err)
	}
}
