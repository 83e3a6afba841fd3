package sink

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Labels pass the disk, stand in JSON with an agent's own events and with reports about it, and change nothing else.
func TestLabels(t *testing.T) {
	t.Parallel()
	plain, labelled := NewAgent("001", "web01", "any"), NewAgent("001", "web01", "any")
	labels := `{"site":"fra1","team":"a \"b\""}`
	labelled.SetLabels([]byte(labels))
	lot := func(a *Agent) *Lot {
		var l Lot
		l.Event(a, testNow, 7, netip.MustParseAddrPort("10.0.0.7:1"), '1', []byte("/var/log/x"), []byte("text"))
		l.Report(a, nil, testNow, "ossec: gone.", Report{Action: Disconnected, Details: `"reason":"silent"`})
		return &l
	}
	got, want := lineOf(lot(labelled)), lineOf(lot(plain))
	if strings.Count(got, `"ip":"any","labels":`+labels+`},`) != 2 || strings.Replace(got, `,"labels":`+labels, "", 2) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if !strings.HasSuffix(want, `"event":{"action":"agent-disconnected","reason":"silent"}}`+"\n") {
		t.Errorf("details: %s", want)
	}
}

// Details that do not fit a record are left out as a whole: a part of them would be no JSON.
func TestLongDetails(t *testing.T) {
	t.Parallel()
	var l Lot
	l.Report(nil, nil, testNow, "x", Report{Action: Lost, Number: 1, Details: `"sink":"` + strings.Repeat("x", 300) + `"`})
	if got := lineOf(&l); !strings.HasSuffix(got, `"event":{"action":"events-lost","count":1}}`+"\n") {
		t.Error(got)
	}
}

func TestMember(t *testing.T) {
	t.Parallel()
	b := Member([]byte{'{'}, "a\"", "x\n")
	b = Member(b, "n", 7)
	b = Member(b, "f", 1.23456)
	b = Member(b, "t", testNow)
	if got, want := string(b), `{"a\"":"x\n","n":7,"f":1.235,"t":"2026-11-22T14:24:33.651004Z"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// recorder is a sink that keeps JSON lines, once it may.
type recorder struct {
	bytes.Buffer
	gate chan struct{}
}

func (r *recorder) Write(ctx context.Context, b Batch) (res Result, err error) {
	if r.gate != nil {
		<-r.gate
	}
	var j JSON
	var e Event
	var line []byte
	for b.Next(&e) {
		line = j.Append(line[:0], &e)
		r.Buffer.Write(line)
		res.Done++
	}
	return res, nil
}

func (r *recorder) Close() error { return nil }

// A sink for alerts gets reports alone, those of losses in other sinks among them.
func TestSinksForAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, alerts, some := &recorder{gate: make(chan struct{})}, &recorder{}, &recorder{}
		open := func(r *recorder) func(context.Context, Env) (Sink, error) {
			return func(context.Context, Env) (Sink, error) { return r, nil }
		}
		h := start(t, quiet, limits{memory: 64 << 20},
			Spec{Name: "slow", Queue: 1 << 20, Open: open(slow)},
			Spec{Name: "alerts", Open: open(alerts), Filter: Filter{Alerts: true}},
			Spec{Name: "some", Open: open(some), Filter: Filter{Actions: []string{ManyGone}}})
		a := NewAgent("001", "web01", "any")
		var l Lot
		l.Report(a, nil, testNow, "first", Report{Action: Connected})
		l.Report(a, nil, testNow, "back", Report{Action: Connected, Details: `"outage":1`})
		l.Report(nil, nil, testNow, "many", Report{Action: ManyGone, Number: 11})
		h.Put(&l, false)
		synctest.Wait() // the slow one has these in hand
		for range 10 {
			l.Clear()
			for range 20 {
				l.Event(a, testNow, 1, netip.MustParseAddrPort("10.0.0.7:1"), '1', []byte("/var/log/x"), make([]byte, 50_000))
			}
			h.Put(&l, false)
			synctest.Wait()
		}
		time.Sleep(2 * tellFirst)
		close(slow.gate)
		synctest.Wait()
		h.Close(time.Second)
		if got := alerts.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, `"outage":1`) || !strings.Contains(got, `"action":"events-lost"`) || !strings.Contains(got, `"sink":"slow"`) {
			t.Errorf("alerts:\n%s", got)
		}
		if got := some.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"full_log":"many"`) {
			t.Errorf("some:\n%s", got)
		}
	})
}
