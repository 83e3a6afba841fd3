package manager

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/setting/settingtest"
	"ossecd/proto"
)

func TestAnOutageIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		p.send(keepalive("ossecd v1", time.Minute))
		synctest.Wait()
		heard := time.Now()
		time.Sleep(time.Hour)
		p.send(proto.Startup)
		synctest.Wait()
		p.send(proto.Shutdown)
		time.Sleep(time.Minute)
		r.end()
		time.Sleep(time.Minute)
		r.start() // knows of the outage
		p.send(proto.Startup)
		all := r.lines()
		if len(all) != 5 {
			t.Fatalf("%d events: %+v", len(all), all)
		}
		if e := all[0].Event; !e.LastSeen.IsZero() || e.Outage != 0 {
			t.Errorf("at first: %+v", e)
		}
		if e := all[1].Event; !e.LastSeen.Equal(heard.Truncate(time.Microsecond)) || !strings.HasPrefix(e.Source, "192.0.2.9:") || e.Interval != 60 || e.Reason != "silent" {
			t.Errorf("silent since %v: %+v", heard, e)
		}
		if e := all[2].Event; e.Outage < 3600 || e.Outage > 3601 {
			t.Errorf("back: %+v", e)
		}
		if e := all[3].Event; e.Reason != "goodbye" || e.LastSeen.IsZero() {
			t.Errorf("goodbye: %+v", e)
		}
		if e := all[4].Event; e.Outage < 120 || e.Outage > 122 {
			t.Errorf("back after a restart: %+v", e)
		}
		r.end()
	})
}

// The first that a manager hears of an agent can be late: sent before what its last run heard. The agent is there, and nobody
// knows yet where to answer it.
func TestFirstMessageIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		r.cfg.DisconnectAfter = 10 * time.Minute
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		late := p.seal(proto.Startup)
		p.send(proto.Startup)
		synctest.Wait()
		r.end()
		r.start()
		time.Sleep(11 * time.Minute)
		p.write(late)
		synctest.Wait()
		if got, want := r.actions(), "web01 connected,web01 disconnected,web01 connected"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		r.end()
	})
}

// An agent that was there when the manager ended was last seen before that, not when the manager began to wait for it.
func TestLastSeenOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		r.cfg.DisconnectAfter = 10 * time.Minute
		r.start()
		r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7).hello()
		heard := time.Now()
		time.Sleep(5 * time.Minute)
		r.end()
		r.start()
		time.Sleep(11 * time.Minute)
		all := r.lines()
		if len(all) != 2 || all[1].Event.Action != "agent-disconnected" {
			t.Fatalf("%+v", all)
		}
		if off := all[1].Event.LastSeen.Sub(heard).Abs(); off > 2*time.Second {
			t.Errorf("last seen %v, was heard %v", all[1].Event.LastSeen, heard)
		}
		r.end()
	})
}

// fleet is many agents that have said hello.
func (r *rig) fleet(n int) (all []*peer) {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("%03d host%d any %064x", i+1, i+1, i+1)
	}
	r.writeKeys(lines...)
	r.start()
	for i, line := range lines {
		p := r.dial(line, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), proto.AES, proto.OSSEC, 7)
		p.hello()
		all = append(all, p)
	}
	return all
}

// counts are how many events of each action there were.
func (r *rig) counts() map[string]int {
	n := make(map[string]int)
	for _, l := range r.lines() {
		n[l.Event.Action]++
	}
	return n
}

// Many agents, 5,000 where OSSECD_SOAK is set, fall silent at once and come back: each is told of once, and all of them in
// one event.
func TestAllFallSilentAndComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 300
		if os.Getenv("OSSECD_SOAK") != "" {
			n = 5000
		}
		r := newRig(t)
		r.cfg.DisconnectAfter, r.cfg.RemindAfter = 20*time.Minute, time.Hour
		all := r.fleet(n)
		time.Sleep(90 * time.Minute)
		for _, p := range all {
			p.hello()
		}
		got := r.counts()
		want := map[string]int{"agent-connected": 2 * n, "agent-disconnected": n, "agents-disconnected": 1, "agents-still-disconnected": 1}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for _, l := range r.lines() {
			if e := l.Event; strings.HasPrefix(e.Action, "agents-") && (e.Count != n || l.Agent.ID != "") || e.Action == "agents-disconnected" && (e.Of != n || e.Back != 0) {
				t.Errorf("%+v", l)
			}
		}
		if lines := strings.Count(r.logs.String(), `msg="agent disconnected"`); lines > maxNamed {
			t.Errorf("the log has %d lines", lines)
		}
		r.end()
	})
}

func TestWhatMakesAWave(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		agents int
		lost   int
		pace   time.Duration // between two of them
		want   int           // events that sum up
	}{
		{"few agents", 10, 10, 0, 0},
		{"more than ten, and all", 11, 11, 0, 1},
		{"a tenth", 150, 15, 0, 0},
		{"more than a tenth", 150, 16, 0, 1},
		{"over nine minutes", 54, 54, 10 * time.Second, 1},
		{"now and then", 20, 20, 5 * time.Minute, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.cfg.DisconnectAfter = 2 * time.Hour
				all := r.fleet(tt.agents)
				time.Sleep(10 * time.Minute)
				for _, p := range all[tt.lost:] { // later than any other
					time.AfterFunc(105*time.Minute, func() { p.write(p.seal(proto.Startup)) })
				}
				for _, p := range all[:tt.lost] {
					p.hello()
					time.Sleep(tt.pace)
				}
				time.Sleep(130 * time.Minute)
				got := r.counts()
				if got["agents-disconnected"] != tt.want || got["agent-disconnected"] != tt.lost {
					t.Errorf("got %v", got)
				}
				r.end()
			})
		})
	}
}

func TestReminders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		r.cfg.DisconnectAfter, r.cfg.RemindAfter = 10*time.Minute, time.Hour
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		time.Sleep(2*time.Hour + 15*time.Minute)
		p.hello()
		time.Sleep(5 * time.Minute)
		if got, want := r.actions(), "web01 connected,web01 disconnected,web01 still-disconnected,web01 still-disconnected,web01 connected"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if e := r.lines()[3].Event; e.Outage < 7800 || e.Outage > 7900 || e.Source == "" {
			t.Errorf("the second reminder: %+v", e)
		}
		r.end()
	})
}

func TestLabelsOfGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine)
		r.cfg.Groups = settingtest.Tables(t, "group",
			`{"name":"one","agents":["001"],"labels":{"role":"a \"web\"","site":"fra1"}}`,
			`{"name":"web","agents":["web*"],"labels":{"site":"ams2","team":"x"}}`)
		r.start()
		p := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		p.send("1:l:x")
		r.dial(fixedLine, "192.0.2.7", proto.AES, proto.OSSEC, 7).hello()
		all := r.lines()
		if len(all) != 3 {
			t.Fatalf("%+v", all)
		}
		for _, l := range all[:2] {
			if got := fmt.Sprint(l.Agent.Labels); got != `map[role:a "web" site:fra1 team:x]` {
				t.Errorf("labels %s", got)
			}
		}
		if all[2].Agent.Labels != nil {
			t.Errorf("%+v", all[2])
		}
		r.end()
	})
}
