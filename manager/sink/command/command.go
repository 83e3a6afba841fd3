// Package command runs a program for each event, with the event's JSON on standard input. It is meant for the few events that
// somebody should act on.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/sink"
)

// Options are the keys of the table.
type Options struct {
	Argv    []string      // program and arguments; no shell reads them
	Timeout time.Duration // after which a run is killed
	AtOnce  int           // runs at the same time, at most
}

const (
	// linger is how long a program that has ended may leave its output open to others that it started.
	linger = time.Second

	maxSaid = 400 // bytes of what a program that failed has printed that are logged
)

// errTimeout is how a run ends that takes too long.
var errTimeout = errors.New("it took too long and was killed")

// Command is the sink.
type Command struct {
	o       Options
	json    sink.JSON
	limited *limitlog.Logger
}

// New makes the sink.
func New(o Options, log *slog.Logger) *Command {
	return &Command{o: o, limited: limitlog.New(log)}
}

// Write runs the program for each event, for a few at once, which are begun in their order. A run that fails is not made again: the program may have done
// its work. Its event counts as refused.
func (c *Command) Write(ctx context.Context, events sink.Batch) (r sink.Result, err error) {
	var e sink.Event
	for len(events) > 0 {
		var inputs [][]byte
		for len(inputs) < c.o.AtOnce && events.Next(&e) {
			inputs = append(inputs, c.json.Append(nil, &e))
		}
		errs := make([]error, len(inputs))
		var all sync.WaitGroup
		for i, in := range inputs {
			all.Go(func() { errs[i] = c.run(ctx, in) })
		}
		all.Wait()
		r.Done += len(inputs)
		for _, err := range errs {
			if err != nil {
				r.Refused++
				c.failed(err)
			}
		}
		if err := ctx.Err(); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (c *Command) run(ctx context.Context, input []byte) error {
	limit, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, errTimeout)
	defer cancel()
	cmd := exec.CommandContext(limit, c.o.Argv[0], c.o.Argv[1:]...)
	said := &head{most: maxSaid}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), said, said
	cmd.WaitDelay = linger
	killGroup(cmd)
	err := cmd.Run()
	if context.Cause(limit) == errTimeout {
		return fmt.Errorf("%w after %v", errTimeout, c.o.Timeout)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		cmd.Cancel() // it did its work, and left others behind
		return nil
	}
	if text := bytes.TrimSpace(said.bytes); err != nil && len(text) > 0 {
		err = fmt.Errorf("%w: %q", err, text)
	}
	return err
}

// failed logs a run that failed, at most once per logEvery.
func (c *Command) failed(err error) {
	c.limited.Error("a command for an alert failed; it is not run again for it", "command", c.o.Argv[0], "err", err,
		"remedy", "run it by hand with the JSON of an event on its standard input")
}

// Close ends it.
func (c *Command) Close() error { return nil }

// head keeps the first bytes that are written to it. A program's output and error text have one writer.
type head struct {
	bytes []byte
	most  int
}

func (h *head) Write(p []byte) (int, error) {
	h.bytes = append(h.bytes, p[:min(len(p), h.most-len(h.bytes))]...)
	return len(p), nil
}
