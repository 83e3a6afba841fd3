package agent

import (
	"fmt"
	"os"
	"slices"
	"strings"
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
		time.Sleep(5 * time.Second)
		if r.log.Count("started") != 1 || r.log.Count("does not answer") != 0 {
			t.Errorf("want the start in the log and no complaint:\n%v", r.log)
		}
		time.Sleep(2 * time.Second)
		if r.log.Count("does not answer") != 1 {
			t.Errorf("want a complaint once the first startup was not answered:\n%v", r.log)
		}
		time.Sleep(39 * time.Second)
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
		if r.log.Count("does not answer") != 1 {
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
		if got := r.log.Count("level=WARN", "unknown order", "something new"); got != 1 {
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
			if got := r.log.Count("level=WARN", "msg=offline"); got != 1 {
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
		if got := r.log.Count("offline"); got != 0 {
			t.Errorf("the agent went offline:\n%v", r.log)
		}
		r.mustStop()
		m.close()
	})
}

// A word that the manager asks for is in the next keepalive, which leaves at once, and in those that follow on that socket. On the next one,
// which may have another address, it is not.
func TestWord(t *testing.T) {
	inRig(t, func(*rig) {}, func(r *rig, m *fakeManager) {
		words := func() (all []string) {
			for _, h := range m.take() {
				if _, word, ok := strings.Cut(h.text, " says-word"); ok {
					all = append(all, word)
				}
			}
			return all
		}
		words()
		m.send(proto.AnyHere + "FIRST")
		time.Sleep(15 * time.Second)
		if got := words(); !slices.Equal(got, []string{"=FIRST", "=FIRST"}) {
			t.Errorf("the words %q were said", got)
		}
		m.send(proto.AnyHere + "SECOND")
		time.Sleep(time.Second)
		m.send(proto.ForceReconnect)
		time.Sleep(time.Second)
		if got := words(); !slices.Equal(got, []string{"=SECOND", ""}) {
			t.Errorf("then the words %q were said", got)
		}
	})
}

// A manager that wants to know whether somebody is there is told at once, and once a second at most.
func TestAnyHere(t *testing.T) {
	inRig(t, func(*rig) {}, func(r *rig, m *fakeManager) {
		m.take()
		m.send(proto.AnyHere)
		time.Sleep(2 * time.Second)
		for range 30 {
			m.send(proto.AnyHere)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		wantTimeline(t, m.take(), `
			0 keepalive
			2 keepalive
			3 keepalive
			4 keepalive
			14 keepalive`)
	})
}

func TestForceReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.AES, proto.Wazuh)
		r := newRig(t, n, anyKey)
		r.cfg.Method, r.cfg.Dialect = proto.AES, proto.Wazuh
		r.cfg.Managers[0] = "udp://" + r.cfg.Managers[0]
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
			r.cfg.Managers[0] = "udp://" + r.cfg.Managers[0]
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
			if r.log.Count("level=WARN", "reports an error", "lower or equal") != 1 {
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
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if sum, ok := k.Merged(); !strings.Contains(k.Uname, " "+host+" ") || k.Program != "ossecd v0.0.1" || sum != "" || !ok || k.NotifyTime != 10*time.Second {
			t.Errorf("%q is read as %+v", got[2].text, k)
		}
		r.mustStop()
		m.close()
	})
}
