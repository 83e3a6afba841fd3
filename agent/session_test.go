package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
	"ossecd/proto/simnet"
)

func TestStartAndKeepalives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		r.feed.batches <- lines(1, 2)
		time.Sleep(25 * time.Second)
		wantTimeline(t, m.take(), `
			0 startup
			0 1:ossec:ossec: Agent started: 'dyn2->any'.
			0 keepalive
			0 1:/var/log/test:line 1
			0 1:/var/log/test:line 2
			10 keepalive
			20 keepalive`)
		r.mustStop()
		m.close()
		wantTimeline(t, m.take(), "")
	})
}

func TestStartupPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		m.answerWith(silent)
		r := newRig(t, n, anyKey)
		r.start()
		time.Sleep(46 * time.Second)
		wantTimeline(t, m.take(), `
			0 startup
			6 startup
			10 startup
			15 startup
			21 startup
			23 startup
			29 startup
			33 startup
			38 startup
			44 startup`)
		time.Sleep(60 * time.Second)
		third := m.take()
		if at := third[0].at - 44*time.Second; at < 15*time.Second || at > 25*time.Second {
			t.Errorf("the third round began after %v, want 20 s or so", at)
		}
		time.Sleep(100 * time.Second)
		fourth := m.take()
		if at := fourth[0].at - third[len(third)-1].at; at < 45*time.Second || at > 75*time.Second {
			t.Errorf("the fourth round began after %v, want a minute or so", at)
		}
		if r.log.count("does not answer") != 1 {
			t.Errorf("want one complaint in the log:\n%v", r.log)
		}
		m.answerWith(acknowledge)
		time.Sleep(100 * time.Second)
		got := m.take()
		if len(got) < 3 || kind(got[2].text) != "keepalive" {
			t.Errorf("after the manager's return: %v", timeline(got))
		}
		r.mustStop()
		m.close()
	})
}

func TestUnansweredKeepaliveIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.NotifyTime, r.cfg.TimeReconnect = 5*time.Minute, 15*time.Minute
		r.start()
		time.Sleep(299 * time.Second)
		m.take()
		m.answerWith(silent)
		time.Sleep(100 * time.Second)
		wantTimeline(t, m.take(), `
			300 keepalive
			305 keepalive
			310 keepalive
			320 keepalive`)
		m.answerWith(acknowledge) // the next one is answered, and so not repeated
		time.Sleep(10 * time.Minute)
		wantTimeline(t, m.take(), `
			600 keepalive
			900 keepalive`)
		r.mustStop()
		m.close()
	})
}

func TestAnyMessageIsLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		m.answerWith(silent)
		replay := m.seal("#!-something new")
		m.sendRaw(replay)
		time.Sleep(20 * time.Second)
		m.send("#!-something new") // life until 50 s
		time.Sleep(29500 * time.Millisecond)
		m.take()
		m.sendRaw(replay) // no life
		time.Sleep(time.Second)
		wantTimeline(t, m.take(), "50 startup")
		if got := r.log.count("level=WARN", "unknown order", "something new"); got != 1 {
			t.Errorf("the unknown order was logged %d times:\n%v", got, r.log)
		}
		r.mustStop()
		m.close()
	})
}

// The manager vanishes: the agent is offline after TimeReconnect, its sources wait, and after the manager's return
// all that was emitted since is there, in order.
func TestOfflineBlocksSources(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Conditions{Delay: time.Millisecond})
			m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
			r := newRig(t, n, anyKey)
			r.start()
			r.feed.batches <- lines(1, 10)
			time.Sleep(time.Second)
			m.take()
			if refused {
				m.close()
			} else {
				n.Cut(managerAddr.Addr())
			}
			time.Sleep(31 * time.Second) // it was last heard at 0.002
			if got := r.log.count("level=WARN", "msg=offline"); got != 1 {
				t.Errorf("offline was logged %d times:\n%v", got, r.log)
			}
			for i := range 20 {
				r.feed.batches <- lines(100+100*i, 100)
			}
			time.Sleep(5 * time.Second)
			if r.feed.count() != 10 {
				t.Errorf("%d events were sent while offline", r.feed.count()-10)
			}
			if refused {
				m = newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
			} else {
				n.Heal(managerAddr.Addr())
			}
			time.Sleep(20 * time.Second)
			if r.feed.count() != 2010 {
				t.Errorf("%d of 2010 events were sent", r.feed.count())
			}
			got := m.take()
			if kind(got[0].text) != "startup" || kind(got[1].text) != "keepalive" {
				t.Errorf("the reconnect began with %s", timeline(got[:2]))
			}
			next := 100
			for _, h := range got {
				if proto.IsControl([]byte(h.text)) {
					continue
				}
				if want := fmt.Sprintf("1:/var/log/test:line %d", next); h.text != want {
					t.Fatalf("got %q, want %q", h.text, want)
				}
				next++
			}
			if next != 2100 {
				t.Errorf("the last line is %d", next-1)
			}
			r.mustStop()
			m.close()
		})
	}
}

// What is emitted while the manager's host says that nobody listens waits for the manager.
func TestRefusedHoldsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{Delay: time.Millisecond})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.start()
		time.Sleep(time.Second)
		m.close()
		for i := range 100 {
			r.feed.batches <- lines(i, 1)
			time.Sleep(50 * time.Millisecond)
		}
		if r.feed.count() != 1 { // the first one found out
			t.Errorf("%d events were sent to nobody", r.feed.count())
		}
		m = newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		time.Sleep(5 * time.Second)
		events := 0
		for _, h := range m.take() {
			if strings.HasPrefix(h.text, "1:/var/log/test") {
				events++
			}
		}
		if events != 99 {
			t.Errorf("the manager got %d of 99 events", events)
		}
		if got := r.log.count("offline"); got != 0 {
			t.Errorf("the agent went offline:\n%v", r.log)
		}
		r.mustStop()
		m.close()
	})
}

func TestFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		second := netip.MustParseAddrPort("[2001:db8::9]:1515")
		a := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		b := newFakeManager(t, n, second, anyKey, proto.Blowfish, proto.OSSEC)
		b.setCount(proto.Counter{Global: 7}) // another manager, another count
		n.Cut(managerAddr.Addr())
		r := newRig(t, n, anyKey)
		r.cfg.Managers = append(r.cfg.Managers, second.String())
		r.start()
		time.Sleep(24 * time.Second)
		wantTimeline(t, a.take(), "")
		wantTimeline(t, b.take(), `
			23 startup
			23 1:ossec:ossec: Agent started: 'dyn2->any'.
			23 keepalive`)
		n.Heal(managerAddr.Addr())
		n.Cut(second.Addr())
		// Last heard at 23; offline at 53; five startups to the second one until 74, two seconds on the first's turn.
		time.Sleep(63 * time.Second)
		wantTimeline(t, a.take(), `
			76 startup
			76 keepalive
			86 keepalive`)
		r.mustStop()
		a.close()
		b.close()
	})
}

func TestNamesAreResolvedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.Managers = []string{"mgr.example"}
		r.start()
		time.Sleep(time.Second)
		if got := r.log.count("level=WARN", "no such host", "remedy"); got != 1 {
			t.Errorf("the missing name was logged %d times:\n%v", got, r.log)
		}
		n.SetName("mgr.example", netip.MustParseAddr("198.51.100.77")) // nobody is there
		time.Sleep(2 * time.Second)
		n.SetName("mgr.example", managerAddr.Addr())
		time.Sleep(60 * time.Second)
		got := m.take()
		if len(got) < 3 || kind(got[0].text) != "startup" || kind(got[2].text) != "keepalive" {
			t.Errorf("the manager heard %s", timeline(got))
		}
		r.mustStop()
		m.close()
	})
}

// A name with addresses of both families, where the manager listens on IPv4 alone.
func TestOtherFamilyIsTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		n.SetName("mgr.example", netip.MustParseAddr("2001:db8::1"), managerAddr.Addr())
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.Managers = []string{"mgr.example"}
		r.start()
		time.Sleep(24 * time.Second)
		if got := m.take(); len(got) != 3 {
			t.Errorf("the manager heard %s", timeline(got))
		}
		r.mustStop()
		m.close()
	})
}

func TestSocketErrorsEndNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EAFNOSUPPORT, syscall.EACCES, errors.New("odd")} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Conditions{})
			m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
			r := newRig(t, n, anyKey)
			r.cfg.TimeReconnect = time.Hour
			var broken atomic.Bool
			r.cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if broken.Load() {
					return nil, fault
				}
				c, err := n.Dial(ctx, network, address)
				return &brokenConn{c, &broken, fault}, err
			}
			broken.Store(true)
			r.start()
			time.Sleep(30 * time.Second)
			broken.Store(false)
			time.Sleep(100 * time.Second)
			broken.Store(true) // and now the socket there is
			r.feed.batches <- lines(1, 1000)
			time.Sleep(10 * time.Second)
			if r.feed.count() != 0 {
				t.Errorf("%v: %d events sent by a broken socket", fault, r.feed.count())
			}
			time.Sleep(20 * time.Second)
			broken.Store(false)
			time.Sleep(100 * time.Second)
			if r.feed.count() != 1000 || len(m.take()) < 1000 {
				t.Errorf("%v: %d of 1000 events sent", fault, r.feed.count())
			}
			if got := r.log.count("level=WARN"); got > 5 {
				t.Errorf("%v: %d warnings:\n%v", fault, got, r.log)
			}
			r.mustStop()
			m.close()
		})
	}
}

// brokenConn fails to write while broken.
type brokenConn struct {
	net.Conn
	broken *atomic.Bool
	fault  error
}

func (c *brokenConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, c.fault
	}
	return c.Conn.Write(p)
}

func TestForceReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.AES, proto.Wazuh)
		r := newRig(t, n, anyKey)
		r.cfg.Method, r.cfg.Dialect = proto.AES, proto.Wazuh
		r.start()
		before := m.last
		m.take()
		m.send(proto.ForceReconnect)
		time.Sleep(time.Second)
		wantTimeline(t, m.take(), `
			0 startup
			0 keepalive`)
		if m.last == before {
			t.Error("the socket is the old one")
		}
		for range 20 { // a manager that wants nothing else is heard once a minute
			m.send(proto.ForceReconnect)
			time.Sleep(time.Second)
		}
		wantTimeline(t, m.take(), `
			10 keepalive
			20 keepalive`)
		time.Sleep(40 * time.Second)
		m.send(proto.ForceReconnect)
		time.Sleep(time.Second)
		wantTimeline(t, m.take(), `
			30 keepalive
			40 keepalive
			50 keepalive
			60 keepalive
			61 startup
			61 keepalive`)
		r.mustStop()
		m.close()
	})
}

func TestWazuhDialect(t *testing.T) {
	t.Parallel()
	for _, method := range []proto.Method{proto.AES, proto.Blowfish} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Conditions{})
			m := newFakeManager(t, n, managerAddr, anyKey, method, proto.Wazuh)
			r := newRig(t, n, anyKey)
			r.cfg.Method, r.cfg.Dialect = method, proto.Wazuh
			r.start()
			got := m.take()
			wantTimeline(t, got, `
				0 startup
				0 1:wazuh-agent:ossec: Agent started: 'dyn2->any'.
				0 keepalive`)
			lines := strings.Split(got[2].text, "\n")
			if !strings.Contains(lines[0], " |") || !strings.HasSuffix(lines[0], " - ossecd v0.0.1") ||
				lines[1] != "x merged.mg" || lines[2] != `#"_agent_ip":192.0.2.1` {
				t.Errorf("keepalive %q", got[2].text)
			}
			m.send("#!-req 1f4a agent getconfig client")
			m.send("#!-req 1f4a ack")
			m.send("#!-req ../x agent y")
			m.send(`#!-err {"message":"Agent version must be lower or equal to manager version"}`)
			synctest.Wait()
			wantTimeline(t, m.take(), `
				0 #!-req 1f4a ack
				0 #!-req 1f4a err ossecd: not supported`)
			if r.log.count("level=WARN", "reports an error", "lower or equal") != 1 {
				t.Errorf("log:\n%v", r.log)
			}
			r.mustStop()
			m.close()
			wantTimeline(t, m.take(), "0 shutdown")
		})
	}
}

func TestKeepaliveText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, fixedKey, proto.AES, proto.OSSEC)
		r := newRig(t, n, fixedKey)
		r.cfg.Method = proto.AES
		r.start()
		got := m.take()
		k, err := proto.ParseKeepalive([]byte(strings.TrimPrefix(got[2].text, "#!-")))
		if err != nil {
			t.Fatal(err)
		}
		u := uname()
		if sum, ok := k.Merged(); k.Uname != strings.Join(u[:], " ") || k.Program != "ossecd v0.0.1" || sum != "" || !ok || k.NotifyTime != 10*time.Second {
			t.Errorf("%q is read as %+v", got[2].text, k)
		}
		r.mustStop()
		m.close()
	})
}

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
		if r.log.count("connected") != 1 {
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
