//go:build unix

package command

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/manager/sink"
)

var quiet = slog.New(slog.DiscardHandler)

func reports(n int) sink.Batch {
	var l sink.Lot
	for i := range n {
		l.Report(nil, nil, time.Now(), fmt.Sprintf("$(report) %d", i), sink.Report{Action: sink.ManyGone})
	}
	return l.Events()
}

func TestRuns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script string
		want   sink.Result
	}{
		{"taken", `cat >> "$0"; test "$1" = 'a  $b'`, sink.Result{Done: 5}},
		{"input not read", `exit 0`, sink.Result{Done: 5}},
		{"failed", `echo wrong; exit 1`, sink.Result{Done: 5, Refused: 5}},
		{"leaves one behind", `sleep 60 & exit 0`, sink.Result{Done: 5}},
		{"hangs", `sleep 60 & sleep 60`, sink.Result{Done: 5, Refused: 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			timeout := time.Minute
			if tt.name == "hangs" {
				timeout = 50 * time.Millisecond
			}
			c := New(Options{Argv: []string{"/bin/sh", "-c", tt.script, out, "a  $b"}, Timeout: timeout, AtOnce: 3}, quiet)
			got, err := c.Write(t.Context(), reports(5))
			if got != tt.want || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if text, _ := os.ReadFile(out); tt.name == "taken" && strings.Count(string(text), `"full_log":"$(report) `) != 5 {
				t.Errorf("the program was given %q", text)
			}
		})
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	c := New(Options{Argv: []string{filepath.Join(t.TempDir(), "none")}, Timeout: time.Minute, AtOnce: 1}, quiet)
	if got, err := c.Write(t.Context(), reports(2)); err != nil || got != (sink.Result{Done: 2, Refused: 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTheEndEndsRuns(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c := New(Options{Argv: []string{"/bin/sh", "-c", "sleep 60"}, Timeout: time.Minute, AtOnce: 1}, quiet)
	if got, err := c.Write(ctx, reports(2)); err == nil || got.Done > 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}
