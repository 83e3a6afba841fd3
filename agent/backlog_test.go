package agent

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/durable/queue"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

// spooled runs f with an agent that has a spool, and its manager.
func spooled(t *testing.T, f func(r *rig, m *fakeManager)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.SpoolSize, r.cfg.ProbeInterval, r.cfg.ResendMax = queue.MinLimit, 5*time.Second, 1000
		r.start()
		f(r, m)
		r.mustStop()
		m.close()
	})
}

// numbers are the lines that a manager heard, in their order, as "0-9 5-20".
func numbers(got []heard) string {
	var runs []string
	first, last := -1, -1
	end := func() {
		if first >= 0 {
			runs = append(runs, fmt.Sprint(first, "-", last))
		}
	}
	for _, h := range got {
		var n int
		if _, err := fmt.Sscanf(h.text, "1:/var/log/test:line %d", &n); err != nil {
			continue
		}
		if n != last+1 || first < 0 {
			end()
			first = n
		}
		last = n
	}
	end()
	return strings.Join(runs, " ")
}

// What is sent is asked about soon, and then known to have arrived.
func TestASentEventIsAskedAbout(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		m.take()
		r.feed.batches <- lines(0, 3)
		time.Sleep(4 * time.Second)
		wantTimeline(t, m.take(), "0 1:/var/log/test:line 0\n0 1:/var/log/test:line 1\n0 1:/var/log/test:line 2")
		time.Sleep(time.Second)
		synctest.Wait()
		wantTimeline(t, m.take(), "5 keepalive")
		time.Sleep(4 * time.Second)
		wantTimeline(t, m.take(), "") // nothing was sent since
	})
}

// Lines that went to a manager which was gone are sent again to the one that comes, once.
func TestWhatNobodyTookIsSentAgain(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		r.feed.batches <- lines(0, 10)
		time.Sleep(6 * time.Second) // asked about, and answered
		m.take()
		m.answerWith(silent)
		r.feed.batches <- lines(10, 10)
		time.Sleep(40 * time.Second)
		r.feed.batches <- lines(20, 10)
		time.Sleep(time.Second)
		if r.feed.count() != 30 {
			t.Errorf("%d lines taken, want all 30, offline or not", r.feed.count())
		}
		if got := numbers(m.take()); got != "10-19" {
			t.Errorf("heard in vain: %s", got)
		}
		m.answerWith(acknowledge)
		time.Sleep(3 * time.Minute)
		if got := numbers(m.take()); got != "10-29" {
			t.Errorf("heard then: %s", got)
		}
	})
}

// A new process goes on with what no answer covered.
func TestARestartGoesOnWithTheSpool(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		r.feed.batches <- lines(0, 10)
		time.Sleep(6 * time.Second)
		m.answerWith(silent)
		r.feed.batches <- lines(10, 10)
		time.Sleep(time.Second)
		r.mustStop()
		m.take()
		m.answerWith(acknowledge)
		for range 2 {
			r.start()
			time.Sleep(6 * time.Second)
			r.mustStop()
		}
		if got := numbers(m.take()); got != "10-19" {
			t.Errorf("the next processes sent %s", got)
		}
		r.start()
	})
}

// A stop in order leaves nothing that would be sent again.
func TestAStopWaitsForTheAnswer(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		r.feed.batches <- lines(0, 10)
		synctest.Wait()
		r.mustStop()
		if got := numbers(m.take()); got != "0-9" {
			t.Errorf("sent %s", got)
		}
		r.start()
		r.feed.batches <- lines(10, 1)
		time.Sleep(time.Second)
		if got := numbers(m.take()); got != "10-10" {
			t.Errorf("then sent %s", got)
		}
		m.answerWith(silent)
		began := time.Now()
		r.mustStop()
		if took := time.Since(began); took != time.Second {
			t.Errorf("a stop without an answer took %v", took)
		}
		m.answerWith(acknowledge)
		r.start()
	})
}

// highest is the highest count that the manager saw. m.mu is held.
func (m *fakeManager) highest() (v uint64) {
	for count := range m.counts {
		v = max(v, count)
	}
	return v
}

// startAnew has the manager answer as another run of an ossecd, which knows of earlier runs what they counted up to last.
func (m *fakeManager) startAnew(name string, last uint64) {
	r := proto.Run{Name: name, Last: proto.CounterAt(last)}
	m.answerWith(func(text string) []string {
		if r.First.Value() == 0 {
			r.First = proto.CounterAt(m.highest())
		}
		if len(acknowledge(text)) == 0 {
			return nil
		}
		return []string{string(proto.AppendAck(nil, &r))}
	})
}

// A manager that is ours says with the first answer that it started anew, and what it has. What it has not is sent again.
func TestARestartedManagerIsSeen(t *testing.T) {
	for _, tt := range []struct {
		name     string
		counted  int // of the lines 10 to 19, before the end of the first run
		restarts int // seconds after they were sent
		want     string
	}{
		{"none counted", 0, 1, "10-19"},
		{"some counted", 4, 1, "14-19"},
		{"all counted", 10, 1, ""},
		{"all counted, gone for longer", 10, 14, ""},
		{"some counted, gone for longer", 3, 14, "13-19"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spooled(t, func(r *rig, m *fakeManager) {
				m.startAnew("A", 0)
				r.feed.batches <- lines(0, 10)
				time.Sleep(6 * time.Second)
				m.mu.Lock()
				last := m.highest() + uint64(tt.counted)
				m.mu.Unlock()
				m.answerWith(silent)
				r.feed.batches <- lines(10, 10)
				time.Sleep(time.Duration(tt.restarts) * time.Second)
				m.take()
				m.startAnew("B", last)
				time.Sleep(15 * time.Second)
				if got := numbers(m.take()); got != tt.want {
					t.Errorf("sent again: %q, want %q", got, tt.want)
				}
				r.feed.batches <- lines(20, 10)
				time.Sleep(20 * time.Second)
				if got := numbers(m.take()); got != "20-29" {
					t.Errorf("sent then: %s", got)
				}
			})
		})
	}
}

// What was sent before the first answer can have gone to another run than the one that answers: a manager which does not
// know yet that we are of its kind says nothing of runs in the answer to our startup.
func TestAManagerRestartedBeforeItsFirstAnswer(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		m.take()
		m.mu.Lock()
		last := m.highest()
		m.mu.Unlock()
		m.answerWith(silent)
		r.feed.batches <- lines(0, 10)
		time.Sleep(2 * time.Second)
		if got := numbers(m.take()); got != "0-9" {
			t.Errorf("sent %q", got)
		}
		m.startAnew("B", last+4)
		time.Sleep(15 * time.Second)
		if got := numbers(m.take()); got != "4-9" {
			t.Errorf("sent again: %q", got)
		}
	})
}

// One that is not ours was gone when several keepalives in a row had no answer; one lost answer means nothing.
func TestAManagerThatWasAwayIsSeen(t *testing.T) {
	for _, tt := range []struct {
		away time.Duration // from the moment at which it is asked about what was sent
		want string
	}{{time.Second / 2, ""}, {5 * time.Second, "10-19"}} {
		t.Run(tt.away.String(), func(t *testing.T) {
			spooled(t, func(r *rig, m *fakeManager) {
				r.mustStop()
				r.cfg.NotifyTime, r.cfg.TimeReconnect = time.Hour, 3*time.Hour
				r.start()
				r.feed.batches <- lines(0, 10)
				time.Sleep(6 * time.Second)
				m.answerWith(silent)
				r.feed.batches <- lines(10, 10)
				time.Sleep(5*time.Second + tt.away)
				m.take()
				m.answerWith(acknowledge)
				time.Sleep(time.Minute)
				if got := numbers(m.take()); got != tt.want {
					t.Errorf("sent again: %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestResendMax(t *testing.T) {
	for _, tt := range []struct {
		most int
		want string
	}{{0, "20-29"}, {4, "16-29"}, {100, "10-29"}} {
		t.Run(fmt.Sprint(tt.most), func(t *testing.T) {
			spooled(t, func(r *rig, m *fakeManager) {
				r.mustStop()
				r.cfg.ResendMax = tt.most
				r.start()
				r.feed.batches <- lines(0, 10)
				time.Sleep(6 * time.Second)
				m.answerWith(silent)
				r.feed.batches <- lines(10, 10)
				time.Sleep(40 * time.Second)
				r.feed.batches <- lines(20, 10)
				m.take()
				m.answerWith(acknowledge)
				time.Sleep(3 * time.Minute)
				if got := numbers(m.take()); got != tt.want {
					t.Errorf("sent then: %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// A full spool has sources wait; nothing is lost.
func TestAFullSpoolWaits(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		m.answerWith(silent)
		time.Sleep(40 * time.Second)
		const batches = 60
		for i := range batches {
			r.feed.batches <- wideLines(50*i, 50)
		}
		time.Sleep(time.Minute)
		if n := r.feed.count(); n == 0 || n >= 50*batches {
			t.Errorf("%d lines taken", n)
		}
		if n := r.log.Count("the spool is full"); n != 1 {
			t.Errorf("said %d times that the spool is full", n)
		}
		m.take()
		m.answerWith(acknowledge)
		time.Sleep(10 * time.Minute)
		if got, want := numbers(m.take()), fmt.Sprint("0-", 50*batches-1); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	})
}

// With SpoolDropOldest what is lost is counted and told.
func TestAFullSpoolDrops(t *testing.T) {
	spooled(t, func(r *rig, m *fakeManager) {
		r.mustStop()
		r.cfg.SpoolDropOldest = true
		m.answerWith(silent)
		r.start()
		const batches = 60
		for i := range batches {
			r.feed.batches <- wideLines(50*i, 50)
		}
		time.Sleep(time.Minute)
		m.take()
		m.answerWith(acknowledge)
		time.Sleep(10 * time.Minute)
		got := m.take()
		lost := -1
		for _, h := range got {
			if _, text, ok := strings.Cut(h.text, "1:ossecd:ossec: Agent event queue is full: "); ok {
				fmt.Sscanf(text, "%d events lost.", &lost)
			}
		}
		if want := fmt.Sprint(lost, "-", 50*batches-1); lost <= 0 || numbers(got) != want {
			t.Errorf("told of %d lost, heard %s", lost, numbers(got))
		}
	})
}
