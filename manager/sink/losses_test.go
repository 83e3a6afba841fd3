package sink

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An agent that floods without end calls somebody once a minute, with how much it lost since; another one's losses are told at once.
func TestLossesOfAnAgentAreSummedUpForAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, alerts := spec(&reader{}, 1000), &reader{}
		s.Share = 50
		h := start(t, quiet, s, Spec{Name: "alerts", Limit: 1 << 20, Share: 100, Filter: Filter{Alerts: true},
			Open: func(context.Context) (Sink, error) { return alerts, nil }})
		flooder, other := h.NewAgent("001", "web01", "any"), h.NewAgent("002", "db01", "any")
		flood := func(a *Agent, times int) {
			for range times {
				h.give(strings.Repeat("f", 501), a) // over its share
				synctest.Wait()
			}
		}
		flood(flooder, 100)
		flood(other, 1)
		got := alerts.String()
		if f, o := strings.Count(got, `"id":"001"`), strings.Count(got, `"id":"002"`); f != 1 || o != 1 {
			t.Errorf("%d alerts about the one that floods and %d about the other, want one each:\n%s", f, o, got)
		}
		time.Sleep(logEvery)
		flood(flooder, 1)
		if got := alerts.String(); strings.Count(got, `"id":"001"`) != 2 || !strings.Contains(got, `"count":100,"sink":"test"`) {
			t.Errorf("a minute later the other 100 are not told in one:\n%s", got)
		}
		end(t, h)
	})
}
