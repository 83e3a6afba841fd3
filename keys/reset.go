package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// ErrNoCounter says that there is nothing to reset.
var ErrNoCounter = errors.New("no received counter")

const (
	resetDir     = "reset"         // under the state directory: one empty file per request, named after the ID
	resetWait    = 5 * time.Second // a running manager looks every second
	resetPoll    = 50 * time.Millisecond
	resetsAtOnce = 1_000 // requests taken by one TakeResets
)

// ResetCounter makes the manager with the state directory forget the received counter of an agent, so that what was
// captured of its traffic passes once more. Without a manager running there it does so itself, for the agent with
// the KEY secret, or with every KEY that it ever had where that is empty. Beside a running manager it leaves a request and waits up to five seconds for TakeResets; if
// applied is false then, the request is withdrawn and the error says so.
func ResetCounter(ctx context.Context, stateDir, id, secret string) (applied bool, err error) {
	if err := checkID(id); err != nil {
		return false, err
	}
	if _, err := os.Stat(stateDir); err != nil {
		return false, fmt.Errorf("reset counter: %w; give the manager's --state", err)
	}
	received, rids := filepath.Join(stateDir, "received"), filepath.Join(stateDir, "rids")
	if !exists(received) && !exists(filepath.Join(rids, id)) {
		return false, fmt.Errorf("%w of agent %s in %s; check --state", ErrNoCounter, id, stateDir)
	}
	lock, err := durable.LockDir(stateDir)
	if errors.Is(err, durable.ErrLocked) {
		return requestReset(ctx, stateDir, id)
	}
	if err != nil {
		return false, fmt.Errorf("reset counter: %w", err)
	}
	defer lock.Unlock()
	if err := resetHere(received, rids, id, secret); err != nil {
		return false, err
	}
	return true, nil
}

// resetHere resets in the files, making none. The caller holds the lock of the state directory.
func resetHere(received, rids, id, secret string) (err error) {
	if exists(filepath.Join(rids, id)) {
		if err := WriteRids(rids, id, proto.Counter{}); err != nil {
			return err
		}
	}
	if !exists(received) {
		return nil
	}
	r, err := OpenReceived(received)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if secret == "" {
		if !r.resetID(id) && !exists(filepath.Join(rids, id)) {
			return fmt.Errorf("%w of agent %s in %s; check the ID and --state", ErrNoCounter, id, received)
		}
		return nil
	}
	s, err := r.Slot(id, secret, "", proto.Counter{})
	if err != nil {
		return err
	}
	s.Reset()
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// requestReset asks the process that holds the state directory.
func requestReset(ctx context.Context, stateDir, id string) (applied bool, err error) {
	dir := filepath.Join(stateDir, resetDir)
	path := filepath.Join(dir, id)
	if err := makeRequest(stateDir, dir, path); err != nil {
		return false, fmt.Errorf("ask the running manager: %w; run this as the user of the manager", err)
	}
	ctx, cancel := context.WithTimeout(ctx, resetWait)
	defer cancel()
	tick := time.NewTicker(resetPoll)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !exists(path) {
			return true, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil // taken at the last moment
	case err != nil:
		return false, fmt.Errorf("%w; the manager may still reset the counter of agent %s: remove that file", err, id)
	}
	return false, fmt.Errorf("the process that holds %s did not reset the counter of agent %s: %w; look at its log: it may have no such agent (ossecd keygen list --keys FILE shows all)", stateDir, id, context.Cause(ctx))
}

func makeRequest(stateDir, dir, path string) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := durable.Give(stateDir, dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// TakeResets calls reset with the ID of each request that ResetCounter left in the state directory, and removes the
// request if reset returns nil; one with an error stays for the next call. A manager calls it every second. What is
// there and is no request is left alone. It returns the first error, and goes on after it.
func TakeResets(stateDir string, reset func(id string) error) error {
	dir, err := os.Open(filepath.Join(stateDir, resetDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reset requests: %w; give the directory to the user of this process", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(resetsAtOnce)
	if err != nil && err != io.EOF {
		return fmt.Errorf("reset requests: %w", err)
	}
	var first error
	for _, e := range entries {
		if checkID(e.Name()) != nil || !e.Type().IsRegular() {
			continue
		}
		if err = reset(e.Name()); err == nil {
			err = os.Remove(filepath.Join(stateDir, resetDir, e.Name()))
		}
		if err != nil && first == nil {
			first = fmt.Errorf("reset counter of agent %s: %w", e.Name(), err)
		}
	}
	return first
}
