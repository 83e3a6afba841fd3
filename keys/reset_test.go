package keys

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

func TestResetWithoutManager(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	state := t.TempDir()
	rids := filepath.Join(state, "rids")
	if applied, err := ResetCounter(ctx, state, "001", "key"); applied || !errors.Is(err, ErrNoCounter) {
		t.Errorf("ResetCounter in an empty directory = %v, %v; want %v", applied, err, ErrNoCounter)
	}
	if entries, err := os.ReadDir(state); len(entries) > 0 || err != nil {
		t.Errorf("it left %v there (%v)", entries, err)
	}
	for _, id := range []string{"", "../1", "x"} {
		if applied, err := ResetCounter(ctx, state, id, "key"); applied || err == nil {
			t.Errorf("ResetCounter(%q) = %v, %v; want an error", id, applied, err)
		}
	}
	if applied, err := ResetCounter(ctx, filepath.Join(state, "none"), "001", "key"); applied || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ResetCounter without directory = %v, %v", applied, err)
	}

	// Taken over from a stock install, the manager never ran.
	if err := WriteRids(rids, "001", proto.CounterAt(5_000_000)); err != nil {
		t.Fatal(err)
	}
	if applied, err := ResetCounter(ctx, state, "001", "key"); !applied || err != nil {
		t.Errorf("ResetCounter = %v, %v", applied, err)
	}
	if c, ok, err := ReadRids(rids, "001"); ok || err != nil {
		t.Errorf("rids still has %v (%v)", c, err)
	}

	// Our own counters.
	path := filepath.Join(state, "received")
	r := open(t, path, mapFile)
	s, other, old := slot(t, r, "001", "key", "", none), slot(t, r, "002", "key", "", none), slot(t, r, "001", "old key", "", none)
	for _, s := range []*Slot{s, other, old} {
		s.Accept(7_000_000)
	}
	if _, err := r.Flush(ctx, rids, slices.Values([]*Slot{s, other})); err != nil {
		t.Fatal(err)
	}
	shut(t, r)
	if applied, err := ResetCounter(ctx, state, "001", "key"); !applied || err != nil {
		t.Errorf("ResetCounter = %v, %v", applied, err)
	}
	r = open(t, path, mapFile)
	c, _, err := ReadRids(rids, "001")
	if err != nil {
		t.Fatal(err)
	}
	if got := slot(t, r, "001", "key", "", c).Judge(7_000_000); got != proto.Fresh {
		t.Errorf("after the reset the old count is %v, want fresh", got)
	}
	if got := slot(t, r, "002", "key", "", none).Judge(7_000_000); got != proto.Repeated {
		t.Errorf("the count of another agent is %v, want repeated", got)
	}
	if got := slot(t, r, "001", "old key", "", none).Judge(7_000_000); got != proto.Repeated {
		t.Errorf("the count of another key is %v, want repeated", got)
	}
	shut(t, r)

	// Without a key it is every key of the agent, and of no other.
	if applied, err := ResetCounter(ctx, state, "003", ""); applied || !errors.Is(err, ErrNoCounter) {
		t.Errorf("an agent that never was: %v, %v", applied, err)
	}
	if applied, err := ResetCounter(ctx, state, "001", ""); !applied || err != nil {
		t.Errorf("ResetCounter without a key = %v, %v", applied, err)
	}
	r = open(t, path, mapFile)
	for id, want := range map[string]proto.Verdict{"001": proto.Fresh, "002": proto.Repeated} {
		key := map[string]string{"001": "old key", "002": "key"}[id]
		if got := slot(t, r, id, key, "", none).Judge(7_000_000); got != want {
			t.Errorf("agent %s, reset by the ID 001: the count is %v, want %v", id, got, want)
		}
	}
}

// hold takes the state directory, as a running manager does.
func hold(t *testing.T) (state string) {
	t.Helper()
	state = t.TempDir()
	lock, err := durable.LockDir(state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Unlock)
	if err := WriteRids(filepath.Join(state, "rids"), "001", proto.CounterAt(5)); err != nil {
		t.Fatal(err)
	}
	return state
}

func TestResetBesideManager(t *testing.T) {
	t.Parallel()
	state := hold(t)
	if err := TakeResets(state, func(id string) error { return errors.New("none asked") }); err != nil {
		t.Errorf("TakeResets without requests: %v", err)
	}
	result := make(chan error, 1)
	go func() {
		applied, err := ResetCounter(t.Context(), state, "001", "key")
		if err == nil && !applied {
			err = errors.New("not applied")
		}
		result <- err
	}()
	var ids []string
	for failed := false; len(ids) == 0; time.Sleep(time.Millisecond) {
		err := TakeResets(state, func(id string) error {
			if !failed {
				failed = true
				return errors.New("not yet")
			}
			ids = append(ids, id)
			return nil
		})
		if err != nil && !strings.Contains(err.Error(), "001: not yet") {
			t.Fatal(err)
		}
	}
	if err := <-result; err != nil {
		t.Errorf("ResetCounter: %v", err)
	}
	if !slices.Equal(ids, []string{"001"}) {
		t.Errorf("took %q, want 001", ids)
	}
	if info, err := os.Stat(filepath.Join(state, resetDir)); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("the directory of requests: %v, %v", info.Mode(), err)
	}
}

// TestResetNotTaken: a request nobody takes is withdrawn.
func TestResetNotTaken(t *testing.T) {
	t.Parallel()
	state := hold(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	applied, err := ResetCounter(ctx, state, "001", "key")
	if applied || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), state) {
		t.Errorf("ResetCounter = %v, %v; want one that names the directory", applied, err)
	}
	if entries, err := os.ReadDir(filepath.Join(state, resetDir)); len(entries) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestTakeResetsForeign: what is no request is neither taken nor removed.
func TestTakeResetsForeign(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	dir := filepath.Join(state, resetDir)
	if err := os.MkdirAll(filepath.Join(dir, "002"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"001", "notes.txt", "1234567890"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	if err := TakeResets(state, func(id string) error { ids = append(ids, id); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, []string{"001"}) {
		t.Errorf("took %q, want 001", ids)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("left %v, %v; want the three that are no requests", left, err)
	}
}
