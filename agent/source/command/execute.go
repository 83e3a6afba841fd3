package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

const (
	// linger is how long a program that has ended, or was killed, may leave its output open to others it started.
	linger     = 2 * time.Second
	maxErrText = 200 // bytes of what it wrote to its standard error that are logged
)

// ErrTimeout is how a run ends that takes too long.
var ErrTimeout = errors.New("took too long and was killed")

// execute runs the command once and returns what it printed. An error that it ended with comes with its output, as
// with the stock collector; what was killed has none, since half of an output would be taken for all of it.
func (s *Source) execute(ctx context.Context) ([]byte, error) {
	limit, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, ErrTimeout)
	defer cancel()
	argv := s.argv()
	cmd := exec.CommandContext(limit, argv[0], argv[1:]...)
	output, errText := &capture{most: s.cfg.MaxOutput}, &capture{most: maxErrText}
	cmd.Stdout, cmd.Stderr = output, errText
	cmd.WaitDelay = linger
	killGroup(cmd)
	err := cmd.Run()
	if context.Cause(limit) == ErrTimeout {
		return nil, fmt.Errorf("%w after %v; raise timeout", ErrTimeout, s.cfg.Timeout)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		cmd.Cancel()
		err = fmt.Errorf("it left a process behind that kept its output open, which was killed")
	}
	if said := bytes.TrimSpace(errText.bytes); err != nil && len(said) > 0 {
		err = fmt.Errorf("%w: %q", err, said)
	}
	if output.lost > 0 {
		err = errors.Join(err, fmt.Errorf("it printed more than max_output, %d bytes, of which the first were used; raise it", s.cfg.MaxOutput))
	}
	return output.bytes, err
}

// capture keeps the first bytes that are written to it.
type capture struct {
	bytes []byte
	most  int
	lost  int
}

func (c *capture) Write(p []byte) (int, error) {
	n := min(len(p), c.most-len(c.bytes))
	c.bytes = append(c.bytes, p[:n]...)
	c.lost += len(p) - n
	return len(p), nil
}
