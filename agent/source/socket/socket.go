// Package socket is the local queue of a stock agent: a unix datagram socket to which the stock collectors write
// QUEUE:LOCATION:MESSAGE (docs/protocol.md, "Events"). So they can feed this agent in place of ossec-agentd.
//
// A collector does not wait until its message can be taken. So the events that wait here are bounded, and what does not fit is lost
// and counted (package buffer).
package socket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"ossecd/agent/source"
	"ossecd/agent/source/buffer"
	"ossecd/keys/localqueue"
)

// Config says where the socket is.
type Config struct {
	Path     string // of the socket; it is made with mode 0660 and the group of its directory, and removed at the end
	Location string // of all events, default: the one that the collector gives
	MaxEvent int    // largest QUEUE:LOCATION:MESSAGE in bytes that the channel takes; longer ones are cut
	StandIn  bool   // it is a stock agent's, in whose place we run: when the socket cannot be had, the agent ends
	Log      *slog.Logger
}

const (
	// maxPath is what fits the system's address with its last NUL: 108 bytes on Linux, 104 on the BSDs and macOS.
	maxPath     = 103
	maxLocation = 1024 // bytes
)

// Source reads a socket. Make it with [New].
type Source struct{ cfg Config }

var _ source.Source = (*Source)(nil)

// New checks the configuration, and says all that is wrong with it. It makes no socket.
func New(cfg Config) (*Source, error) {
	var faults []error
	if cfg.Path == "" {
		faults = append(faults, errors.New("path: none given; name the socket, as in /var/ossec/queue/ossec/queue"))
	}
	if len(cfg.Path) > maxPath {
		faults = append(faults, fmt.Errorf("path: %q has %d bytes, and a socket's may have %d; use a shorter one", cfg.Path, len(cfg.Path), maxPath))
	}
	faults = append(faults, supported())
	return &Source{cfg}, errors.Join(faults...)
}

// Run makes the socket and reads it until ctx ends. It returns an error where the socket cannot be made, or another process reads it, be it
// later: then that one has the collectors.
func (s *Source) Run(ctx context.Context, out source.Output) error {
	queue, err := localqueue.Open(s.cfg.Path, s.cfg.Log)
	if err != nil {
		return s.fault(err)
	}
	s.cfg.Log.Info("reading the local queue", "path", s.cfg.Path)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := reader{Config: s.cfg, events: buffer.New("socket "+s.cfg.Path, buffer.Size, s.cfg.Log)}
	var reading sync.WaitGroup
	var failed error
	reading.Go(func() {
		defer cancel()
		failed = queue.Serve(ctx, r.take, func(by error) error { return s.fault(fmt.Errorf("another program took it: %w", by)) })
	})
	err = r.events.Run(ctx, out)
	cancel()
	reading.Wait()
	r.events.End()
	return errors.Join(err, failed)
}

// fault is why the socket cannot be read.
func (s *Source) fault(err error) error {
	err = fmt.Errorf("socket: %w", err)
	if s.cfg.StandIn {
		return source.Fatal{Err: err}
	}
	return err
}

// InUse says who reads a socket, if anybody does.
func InUse(path string) error { return localqueue.InUse(path) }

// reader takes the datagrams of one socket.
type reader struct {
	Config
	events *buffer.Buffer
}

var (
	malformed = buffer.Note{Text: "messages in the local queue were dropped: they are not QUEUE:LOCATION:MESSAGE", Remedy: "find out what writes to it"}
	cut       = buffer.Note{Text: "messages in the local queue were cut: they are longer than a manager takes", Remedy: "make the program that writes them write shorter ones"}
)

// take passes on what a collector wrote.
func (r *reader) take(datagram []byte) {
	e, ok := parse(datagram)
	if !ok {
		r.events.Count(malformed, 1, "")
		return
	}
	if r.Location != "" {
		e.Location = r.Location
	}
	if room := source.Room(r.MaxEvent, e.Location); len(e.Message) > room {
		e.Message = e.Message[:room]
		r.events.Count(cut, 1, e.Location)
	}
	r.events.Add(e.Queue, e.Location, e.Message)
}
