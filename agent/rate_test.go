package agent

import (
	"strings"
	"testing"
	"time"

	"ossecd/agent/source"
)

// A rate holds from second to second, and a burst after a pause.
func TestRate(t *testing.T) {
	two(t, func(c *Config) { c.Rate, c.Burst = 100, 50 }, func(r *rig, m, _ *fakeManager) {
		r.start()
		time.Sleep(time.Second)
		began := time.Since(m.began)
		r.feed.batches <- lines(0, 1050)
		time.Sleep(time.Minute)
		var events []time.Duration
		for _, h := range m.take() {
			if strings.HasPrefix(h.text, "1:/var/log/test:") {
				events = append(events, h.at-began)
			}
		}
		if len(events) != 1050 {
			t.Fatalf("%d events", len(events))
		}
		for i, at := range events {
			due := max(0, time.Duration(i+1-50)*10*time.Millisecond)
			if at < due-20*time.Millisecond || at > due+30*time.Millisecond {
				t.Fatalf("event %d after %v, want about %v", i, at, due)
			}
		}
		r.mustStop()
	})
}

// A source that says too much waits at its share, and others go on.
func TestShare(t *testing.T) {
	two(t, func(c *Config) { c.SourceShare, c.ExitWhenIdle = 50, false }, func(r *rig, m, second *fakeManager) {
		loud, quiet := r.feed, newFeed()
		r.cfg.Sources = []source.Source{loud, quiet}
		m.answerWith(silent)
		second.answerWith(silent)
		r.start()
		for i := range 40 {
			loud.batches <- wideLines(50*i, 50)
		}
		time.Sleep(time.Minute)
		if n := loud.count(); n >= 2000 || n < 250 {
			t.Errorf("%d lines of the loud source taken", n)
		}
		quiet.batches <- []source.Event{{Queue: '1', Location: "/quiet", Message: []byte("but heard")}}
		time.Sleep(time.Second)
		if quiet.count() != 1 {
			t.Error("the quiet source waits")
		}
		m.answerWith(acknowledge)
		time.Sleep(5 * time.Minute)
		got := m.take()
		if all := numbers(got); all != "0-1999" && !strings.HasSuffix(all, "-1999") || loud.count() != 2000 {
			t.Errorf("heard %s, %d taken", all, loud.count())
		}
		r.mustStop()
	})
}
