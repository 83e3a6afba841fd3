package fleet

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// The fleet tells who comes and goes by what a conversation says of it, whatever carries that: here nothing does. What it tells may ask
// about the agent, since no lock is held.
func TestPresenceOfAnAgentInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine)
		a := r.Roster().ByID("001")
		tell := r.cfg.Report
		r.cfg.Report = func(e Event) {
			if status := e.Agent.Status(); e.Kind == Connected && status.State == "disconnected" {
				t.Errorf("%+v, and it is %s", e, status.State)
			}
			tell(e)
		}
		var reported, started int
		r.OnStartup(func(*Agent) { started++ })
		r.OnKeepalive(func(_ *Agent, k *Report) {
			if !a.Present() {
				t.Error("it reports, and is not there")
			}
			reported++
		})
		ctx, cancel := context.WithCancel(t.Context())
		var ended = make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		speak := func(k *proto.Keepalive) {
			now := time.Now()
			r.Heard(a, now, true)
			var report *Report
			if k != nil {
				report = &Report{Keepalive: k}
			} else {
				r.Startup(a)
			}
			r.Present(a, now, report)
		}
		speak(nil)
		if got := a.Status(); got.State != "connected" || !got.Starting {
			t.Errorf("after a startup it is %+v", got)
		}
		speak(&proto.Keepalive{NotifyTime: time.Minute})
		heard := time.Now()
		if got := a.Status(); got.State != "connected" || got.Interval != time.Minute {
			t.Errorf("after a keepalive it is %+v", got)
		}
		time.Sleep(4 * time.Minute) // three keepalives are missing
		if got := r.kinds(); !slices.Equal(got, []Kind{Connected, Disconnected}) {
			t.Fatalf("told %v", got)
		}
		if e := r.events[1]; e.Reason != "silent" || !e.LastSeen.Equal(heard) || e.Source != a.conversation.Addr() || e.Interval != time.Minute {
			t.Errorf("told %+v", e)
		}
		speak(&proto.Keepalive{NotifyTime: time.Minute})
		r.Goodbye(a, time.Now())
		if got := r.kinds(); !slices.Equal(got, []Kind{Connected, Disconnected, Connected, Disconnected}) || r.events[2].Outage != 4*time.Minute || r.events[3].Reason != "goodbye" {
			t.Errorf("told %+v", r.events)
		}
		connected := strings.Split(r.logs.String(), "agent connected")
		if len(connected) != 3 || strings.Contains(connected[1], "outage=") || !strings.Contains(connected[2], "outage=4m0s") {
			t.Errorf("a first connection has no outage, and a second one has: %s", r.logs.String())
		}
		if started != 1 || reported != 2 {
			t.Errorf("%d startups and %d keepalives", started, reported)
		}
		cancel()
		<-ended
		r.close()
	})
}

// An ossecd that is removed while it is there is told so, and no other.
func TestRemovedAgentsAreTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, anyLine, fixedLine)
	defer r.close()
	ours, stock := r.Roster().ByID("001"), r.Roster().ByID("002")
	ours.conversation.(*inMemory).traits.IsOssecd = true
	for _, a := range []*Agent{ours, stock} {
		r.Heard(a, time.Now(), true)
		r.Present(a, time.Now(), nil)
	}
	r.writeKeys(subnetLine)
	r.TakeUpNow()
	if got := ours.conversation.(*inMemory).sent; !slices.Equal(got, []string{proto.Removed}) {
		t.Errorf("the ossecd was told %q", got)
	}
	if got := stock.conversation.(*inMemory).sent; len(got) > 0 {
		t.Errorf("the stock agent was told %q", got)
	}
	if r.Has(ours) || r.Roster().ByID("003") == nil || r.Roster().Gone([]byte("001"), ours.conversation.Addr().Addr()) != ours {
		t.Error("the roster is not that of the keys")
	}
}

// TestSilence follows what enrolment is told about agents' absence, over a restart.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine, subnetLine)
		want := func(id string, want time.Duration) {
			t.Helper()
			if got := r.Silence(id); got < want-time.Second || got > want+time.Second {
				t.Errorf("%s has been away for %v, want %v", id, got, want)
			}
		}
		speak := func(id string) {
			r.Heard(r.Roster().ByID(id), time.Now(), true)
			r.Present(r.Roster().ByID(id), time.Now(), nil)
		}
		time.Sleep(time.Hour)
		want("001", time.Hour) // it never spoke: since our start
		want("999", 0)
		speak("001")
		speak("002")
		time.Sleep(10 * time.Minute)
		want("001", 0) // not reported yet
		r.Goodbye(r.Roster().ByID("001"), time.Now())
		want("001", 10*time.Minute)
		r.close()

		time.Sleep(time.Hour)
		r.open(Config{})
		want("001", 70*time.Minute)
		want("002", 0) // it was there when we stopped: it has its time to come back
		want("003", 0)

		// A key that came while we run counts from then.
		time.Sleep(time.Hour)
		r.writeKeys(anyLine, fixedLine, subnetLine, "004 new any "+keys.NewSecret())
		r.TakeUpNow()
		want("003", time.Hour)
		want("004", 0)
		time.Sleep(time.Minute)
		want("004", time.Minute)
		r.close()
	})
}

// An agent that tells a shorter interval with each keepalive makes the manager hold no more for it.
func TestWatchHoldsAnAgentOnce(t *testing.T) {
	t.Parallel()
	w := newWatch(0, nil, nil)
	a, b := new(Agent), new(Agent)
	now := time.Now()
	for i := range 1000 {
		for _, x := range []*Agent{a, b} {
			x.presence.state, x.presence.lastSeen = connected, now
			x.presence.notify = time.Hour - time.Duration(i)*time.Second
			w.look(x)
		}
	}
	want := now.Add(w.wait(&a.presence))
	if len(w.queue) != 2 || !w.queue[0].due.Equal(want) || !w.queue[1].due.Equal(want) {
		t.Errorf("%d entries, the first due after %v, want 2 after %v", len(w.queue), w.queue[0].due.Sub(now), want.Sub(now))
	}
}

// A disk without room for the received counter of a new agent: that agent is left out until there is room, while an agent
// whose key was removed is out at once, and all others go on.
func TestNoRoomForACounter(t *testing.T) {
	t.Parallel()
	r := newRig(t, anyLine, fixedLine)
	defer r.close()
	other := r.cfg.Received
	closed, err := keys.OpenReceived(filepath.Join(t.TempDir(), "received"))
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil { // it makes no counter any more
		t.Fatal(err)
	}
	r.writeKeys(anyLine, subnetLine)
	r.cfg.Received = closed
	r.TakeUpNow()
	if got := r.Roster(); got.Len() != 1 || got.ByID("001") == nil {
		t.Errorf("%d agents, want 001 alone: 002 was removed and 003 has no counter", got.Len())
	}
	r.cfg.Received = other
	r.keyring.takeUpRest()
	if got := r.Roster(); got.Len() != 2 || got.ByID("003") == nil {
		t.Errorf("%d agents once there is room, want 001 and 003", got.Len())
	}
	if r.keyring.lacking {
		t.Error("still lacking")
	}
}
