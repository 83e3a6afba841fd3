package channel

import (
	"strings"
	"testing"
	"time"

	"ossecd/proto"
)

func TestFlight(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	send := func(f *flight, n int) {
		for range n {
			f.event(100)
		}
	}
	t.Run("lost answers are made up for", func(t *testing.T) {
		t.Parallel()
		var f flight
		f.probe(at(0), 0) // its answer is lost
		send(&f, 200)
		f.probe(at(0.1), 0)
		f.answer(at(0.2), nil) // of the second, taken for the first's
		if f.covered != 0 || f.allCovered() {
			t.Errorf("%d bytes covered", f.covered)
		}
		f.probe(at(1.1), 0)
		f.answer(at(1.2), nil)
		if f.covered != 200*charge(100) || !f.allCovered() {
			t.Errorf("%d bytes covered", f.covered)
		}
	})
	t.Run("old probes are given up", func(t *testing.T) {
		t.Parallel()
		var f flight
		f.probe(at(0), 0)
		f.probe(at(5), 0)
		send(&f, 10)
		f.probe(at(20), 0)
		f.answer(at(20.1), nil)
		if f.covered != 10*charge(100) || len(f.probes) != 0 {
			t.Errorf("%d bytes covered, %d probes left", f.covered, len(f.probes))
		}
		f.answer(at(20.2), nil) // an answer to a probe given up
		if f.answered != 1 {
			t.Errorf("%d answers", f.answered)
		}
	})
	t.Run("a manager that rested has not taken all at once", func(t *testing.T) {
		t.Parallel()
		var f flight
		f.probe(at(0), 0)
		f.answer(at(0.001), nil)
		send(&f, 50)
		f.probe(at(1), 0)
		send(&f, 50)
		f.probe(at(1.01), 0)
		f.answer(at(1.5), nil)
		if f.covered != 50*charge(100) {
			t.Errorf("%d bytes covered", f.covered)
		}
		f.answer(at(1.51), nil)
		if !f.allCovered() {
			t.Errorf("%d bytes covered", f.covered)
		}
	})
	t.Run("doubt ends with an answer to a later probe", func(t *testing.T) {
		t.Parallel()
		var f flight
		f.probe(at(0), 0)
		f.refuse()
		if f.room(0) {
			t.Error("room in doubt")
		}
		f.probe(at(1), 0)
		f.answer(at(1.1), nil) // may be that of the first
		if f.room(0) {
			t.Error("room in doubt")
		}
		f.answer(at(1.2), nil)
		if !f.room(0) {
			t.Error("no room")
		}
	})
	t.Run("an answer that names its probe covers what was sent before that", func(t *testing.T) {
		t.Parallel()
		of := func(count uint64) []byte {
			return proto.AppendAck(nil, &proto.Run{Name: "A", Of: proto.CounterAt(count)})[len(proto.Ack):]
		}
		var f flight
		f.probe(at(0), 11)
		send(&f, 10)
		f.probe(at(0.1), 22)
		send(&f, 10)
		f.probe(at(0.2), 33)
		for _, tt := range []struct {
			of         uint64
			known      bool
			unanswered int
			covered    uint64
		}{{44, false, 0, 0}, {22, true, 1, 10}, {11, false, 0, 10}, {22, false, 0, 10}, {33, true, 0, 20}} {
			unanswered, known := f.answer(at(0.3), of(tt.of))
			if known != tt.known || unanswered != tt.unanswered || f.covered != tt.covered*charge(100) {
				t.Errorf("of %d: %t, %d unanswered, %d covered", tt.of, known, unanswered, f.covered)
			}
		}
	})
	t.Run("the list is bounded", func(t *testing.T) {
		t.Parallel()
		var f flight
		for i := range 1000 {
			f.probe(at(float64(i)), 0)
		}
		if len(f.probes) != maxProbes {
			t.Errorf("%d probes", len(f.probes))
		}
	})
	t.Run("one event of any size has room", func(t *testing.T) {
		t.Parallel()
		var f flight
		if !f.room(window) {
			t.Error("no room for the first")
		}
	})
}

func TestRepeatsWhileWaiting(t *testing.T) {
	t.Parallel()
	s := Conversation{asked: time.Now(), waiting: true}
	var got []string
	for ; s.repeats < 9; s.repeats++ {
		got = append(got, s.repeatDue().Sub(s.asked).String())
	}
	if want := "1s 2s 4s 8s 16s 32s 1m4s 2m4s 3m4s"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
