package eventlog

import (
	"context"
	"time"

	"ossecd/agent/source"
)

// follower is what follows one channel.
type follower struct {
	*Source
	out    source.Output
	name   string
	places *places
	idle   func(bool)
}

// run follows the channel until ctx ends or Emit fails.
func (f *follower) run(ctx context.Context) error {
	pause := f.pace.again
	for {
		got, err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil: // Finish
			f.idle(true)
			<-ctx.Done()
			return nil
		}
		if failed, ok := err.(emitError); ok {
			return failed.error
		}
		if got {
			pause = f.pace.again
		}
		f.cfg.Log.Warn("a channel of the Event Log cannot be read; it is opened again", "channel", f.name, "err", err, "after", pause,
			"remedy", "check that wevtutil gl shows it, and that this user may read it (group Event Log Readers)")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, f.pace.againMost)
	}
}

// emitError is an error of Emit.
type emitError struct{ error }

// follow opens the channel once, and says whether it gave an entry. The error is nil where all was read that is to be.
func (f *follower) follow(ctx context.Context) (got bool, err error) {
	c, err := f.open(&f.cfg, f.name, f.places.of(f.name))
	if err != nil {
		return false, err
	}
	defer c.close()
	var events []source.Event
	for {
		entries, err := c.read(ctx, false)
		if err == nil && len(entries) == 0 {
			if f.cfg.Finish {
				return got, nil
			}
			f.idle(true)
			entries, err = c.read(ctx, true)
		}
		if err != nil {
			return got, err
		}
		f.idle(false)
		got = true
		events = events[:0]
		for i := range entries {
			head, text, err := entries[i].line()
			if err != nil {
				f.cfg.Log.Warn("an entry of the Event Log is skipped", "channel", f.name, "err", err, "remedy", "look at the entry in the Event Viewer")
				continue
			}
			events = appendEvents(events, head, text, f.cfg.Location, f.cfg.MaxEvent)
		}
		if _, err := f.out.Emit(ctx, events); err != nil {
			return got, emitError{err} // the bookmark stays before all of them: those that were taken come again
		}
		mark, err := c.bookmark()
		if err != nil {
			return got, err
		}
		f.places.set(f.name, mark)
	}
}

// appendEvents appends an entry as one event, or as many as its text needs, each with the head.
func appendEvents(events []source.Event, head []byte, text, location string, most int) []source.Event {
	room := source.Room(most, location) - len(head)
	for {
		n := min(len(text), room)
		events = append(events, source.Event{Queue: '1', Location: location, Message: append(head[:len(head):len(head)], text[:n]...)})
		if text = text[n:]; text == "" {
			return events
		}
	}
}
