// Package sinktest has sinks with a journal for tests.
package sinktest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"ossecd/manager/journal"
	"ossecd/manager/sink"
)

// Journal is a configuration of a journal for tests, in a directory of their own.
func Journal(t testing.TB) journal.Config {
	return journal.Config{Dir: t.TempDir(), Limit: 64 << 20, Memory: 64 << 20, Share: 100, Sync: time.Second}
}

// Start opens and starts sinks, with a journal of that configuration.
func Start(t testing.TB, cfg journal.Config, log *slog.Logger, specs ...sink.Spec) *sink.Sinks {
	t.Helper()
	for i := range specs {
		specs[i].Name = cmp.Or(specs[i].Name, fmt.Sprint(i))
		specs[i].Place = cmp.Or(specs[i].Place, fmt.Sprint("place", i))
	}
	s := sink.New(specs, sink.Env{State: t.TempDir(), Log: log})
	if err := s.OpenJournal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s
}
