package manager

import (
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys"
)

// TestSilence follows what enrolment is told about agents' absence, over a restart.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine, subnetLine)
		if err := os.Mkdir(r.cfg.State, 0o700); err != nil {
			t.Fatal(err)
		}
		var m *manager
		start := func() {
			t.Helper()
			m = newManager(r.cfg, slog.New(slog.DiscardHandler))
			if err := m.openState(); err != nil {
				t.Fatal(err)
			}
		}
		want := func(id string, want time.Duration) {
			t.Helper()
			if got := m.silence(id); got < want-time.Second || got > want+time.Second {
				t.Errorf("%s has been away for %v, want %v", id, got, want)
			}
		}
		speak := func(id string) {
			a := m.roster.Load().byID[id]
			a.life.state, a.life.lastSeen = connected, time.Now()
			a.slot.SetConnected(true)
		}
		start()
		time.Sleep(time.Hour)
		want("001", time.Hour) // it never spoke: since our start
		want("999", 0)
		speak("001")
		speak("002")
		time.Sleep(10 * time.Minute)
		want("001", 0) // not reported yet
		m.gone(m.roster.Load().byID["001"], time.Now())
		want("001", 10*time.Minute)
		if err := m.closeState(); err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Hour)
		start()
		want("001", 70*time.Minute)
		want("002", 0) // it was there when we stopped: it has its time to come back
		want("003", 0)

		// A key that came while we run counts from then.
		time.Sleep(time.Hour)
		r.writeKeys(anyLine, fixedLine, subnetLine, "004 new any "+keys.NewSecret())
		m.takeUpNow()
		want("003", time.Hour)
		want("004", 0)
		time.Sleep(time.Minute)
		want("004", time.Minute)
		if err := m.closeState(); err != nil {
			t.Fatal(err)
		}
	})
}
