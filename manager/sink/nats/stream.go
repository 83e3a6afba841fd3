package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stream is the stream that is to keep events. It is made where it does not exist; one that exists stays as it is.
type Stream struct {
	Name       string // "" is whichever takes the subject
	Replicas   int    // 1 to 5
	MaxAge     time.Duration
	MaxBytes   int64         // 0 is no limit
	Duplicates time.Duration // how long an event is recognised that comes again
	Memory     bool          // kept in memory, not in files
}

// prepare makes the stream where it is missing, once a connection and after each failure.
func (n *NATS) prepare(ctx context.Context) error {
	s := &n.o.Stream
	if n.ready || s.Name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	_, err := n.js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c := jetstream.StreamConfig{
			Name: s.Name, Description: "events of ossecd", Subjects: []string{n.o.Subject.Filter()},
			Replicas: s.Replicas, MaxAge: s.MaxAge, MaxBytes: s.MaxBytes, Duplicates: s.Duplicates,
		}
		if c.MaxBytes == 0 {
			c.MaxBytes = -1
		}
		if s.Memory {
			c.Storage = jetstream.MemoryStorage
		}
		if _, err = n.js.CreateStream(ctx, c); err == nil {
			n.log.Info("made a stream", "stream", s.Name, "subjects", c.Subjects, "replicas", c.Replicas)
		}
	}
	if err != nil {
		return fmt.Errorf("stream %q: %w; let this user look at and make streams, or make it with: nats stream add %s --subjects %q", s.Name, err, s.Name, n.o.Subject.Filter())
	}
	n.ready = true
	return nil
}
