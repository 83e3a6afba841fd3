package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// gated is a writer that takes nothing until its gate is open, as a pipe that nobody reads.
type gated struct {
	gate chan struct{}
	bytes.Buffer
}

func (g *gated) Write(p []byte) (int, error) {
	<-g.gate
	return g.Buffer.Write(p)
}

// Nobody waits for a log that cannot be written. What does not fit is dropped, and counted where it is missing.
func TestLogThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &gated{gate: make(chan struct{})}
		q := newLogQueue(to)
		q.setFormat("json")
		log, err := newLog(q, "json", "info")
		if err != nil {
			t.Fatal(err)
		}
		const lines = 5_000
		began := time.Now()
		filler := strings.Repeat("x", 1_000)
		for i := range lines {
			log.Info("line", "number", i, "filler", filler)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the log was waited for, %v", took)
		}
		close(to.gate)
		synctest.Wait()
		log.Info("line", "number", lines)
		q.close()
		next, notes := 0, 0
		for line := range strings.Lines(to.String()) {
			var r struct {
				Msg    string
				Number int
				Lines  int
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if strings.Contains(r.Msg, "dropped") {
				notes++
				next += r.Lines
				continue
			}
			if r.Number != next {
				t.Fatalf("line %d where %d is due", r.Number, next)
			}
			next++
		}
		if next != lines+1 || notes != 1 {
			t.Errorf("%d lines are accounted for, by %d notes; want %d and 1", next, notes, lines+1)
		}
		if n := to.Len(); n > 2*maxLogQueue+10_000 {
			t.Errorf("%d bytes were kept", n)
		}
	})
}

// The end writes what is left, and waits for a writer that takes nothing no longer than it must.
func TestLogAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		q := newLogQueue(&out)
		fmt.Fprintln(q, "ossecd: it cannot start")
		q.close()
		if got := out.String(); got != "ossecd: it cannot start\n" {
			t.Errorf("wrote %q", got)
		}
		stuck := &gated{gate: make(chan struct{})}
		q = newLogQueue(stuck)
		fmt.Fprintln(q, "a line")
		began := time.Now()
		q.close()
		if took := time.Since(began); took != logEndWithin {
			t.Errorf("the end took %v", took)
		}
		close(stuck.gate)
	})
}
