package agent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
	"ossecd/proto/simnet"
)

func TestExitWhenIdle(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, c simnet.Conditions) (*simnet.Network, *fakeManager, *rig) {
		n := simnet.New(1, c)
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.ExitWhenIdle = true
		return n, m, r
	}
	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, m, r := start(t, simnet.Conditions{Delay: time.Millisecond})
			r.start()
			r.feed.batches <- lines(1, 300)
			time.Sleep(time.Second)
			r.feed.idles <- struct{}{}
			if err := <-r.ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			m.close()
			got := m.take()
			if n := len(got); kind(got[n-1].text) != "keepalive" || got[n-2].text != "1:/var/log/test:line 300" && kind(got[n-2].text) != "keepalive" {
				t.Errorf("the last words were %s", timeline(got[n-2:]))
			}
			if took := got[len(got)-1].at; took > 1100*time.Millisecond {
				t.Errorf("the last keepalive came at %v", took)
			}
		})
	})
	t.Run("nothing to read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, m, r := start(t, simnet.Conditions{Delay: time.Millisecond})
			r.feed.idles <- struct{}{}
			r.start()
			if err := <-r.ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			m.close()
			wantTimeline(t, m.take(), `
				0.001 startup
				0.003 1:ossec:ossec: Agent started: 'dyn2->any'.
				0.003 keepalive`)
		})
	})
	t.Run("answer lost", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, m, r := start(t, simnet.Conditions{Delay: time.Millisecond})
			r.start()
			time.Sleep(time.Second)
			m.take()
			m.answerWith(silent)
			r.feed.batches <- lines(1, 1)
			synctest.Wait()
			r.feed.idles <- struct{}{}
			time.Sleep(6 * time.Second)
			m.answerWith(acknowledge)
			if err := <-r.ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			m.close()
			wantTimeline(t, m.take(), `
				1.001 1:/var/log/test:line 1
				1.001 keepalive
				2.001 keepalive
				3.001 keepalive
				5.001 keepalive
				9.001 keepalive`)
		})
	})
	t.Run("not answered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, m, r := start(t, simnet.Conditions{Delay: time.Millisecond})
			r.start()
			m.close()
			r.feed.batches <- lines(1, 3)
			r.feed.idles <- struct{}{}
			if err := <-r.ended; !errors.Is(err, ErrNotAnswered) {
				t.Errorf("Run: %v", err)
			}
			if took := time.Since(m.began); took > 31*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
	t.Run("never there", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n, m, r := start(t, simnet.Conditions{})
			n.Cut(managerAddr.Addr())
			r.start()
			r.feed.batches <- lines(1, 3)
			if err := <-r.ended; !errors.Is(err, ErrNotAnswered) {
				t.Errorf("Run: %v", err)
			}
			if took := time.Since(m.began); took != 30*time.Second {
				t.Errorf("it took %v", took)
			}
			m.close()
		})
	})
}

// Whatever the agent is about, it ends at once when it is told to.
func TestStopAtAnyTime(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, time.Millisecond, 5 * time.Second, 22 * time.Second, 24 * time.Second, 60 * time.Second} {
		for _, there := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Conditions{Delay: time.Millisecond})
				m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
				if !there {
					n.Cut(managerAddr.Addr())
				}
				r := newRig(t, n, anyKey)
				for i := range 8 {
					r.feed.batches <- lines(100*i, 100)
				}
				r.start()
				time.Sleep(after)
				stopped := time.Now()
				r.mustStop()
				if took := time.Since(stopped); took > 0 {
					t.Errorf("stopping after %v took %v", after, took)
				}
				time.Sleep(time.Second)
				m.close()
				events := 0
				for _, h := range m.take() {
					if strings.HasPrefix(h.text, "1:/var/log/test") {
						events++
					}
				}
				if sent := r.feed.count(); events != sent {
					t.Errorf("stopped after %v: the source was told that %d were sent, and %d were", after, sent, events)
				}
			})
		}
	}
}

// A new process counts on where the last one stopped, and says so in the stock file.
func TestCountsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		replay := m.seal(proto.Ack)
		m.sendRaw(replay)
		synctest.Wait()
		r.mustStop()
		m.answerWith(silent)
		r.start()
		m.sendRaw(replay)
		synctest.Wait()
		if r.log.Count("connected") != 1 {
			t.Errorf("a replayed ack let the agent in:\n%v", r.log)
		}
		for count, times := range m.counts {
			if times != 1 {
				t.Errorf("the count %d was used %d times", count, times)
			}
		}
		r.mustStop()
		m.close()
	})
}
