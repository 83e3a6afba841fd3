// Package ossecqueue gives events to the analysis daemon of a stock OSSEC server over its local socket, in the place of the
// stock remote daemon (docs/protocol.md, "Events").
package ossecqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/sink"
)

// DefaultPath is where a stock server has its socket.
const DefaultPath = "/var/ossec/queue/ossec/queue"

const (
	// maxDatagram is what the stock daemon reads at once, with the NUL at the end. It cuts what is longer.
	maxDatagram = 6144

	// fullWait is the pause after the system says that the socket is full. (Where it can tell when there is room,
	// writing waits for that by itself.)
	fullWait = 5 * time.Millisecond

	markWithin = 100 * time.Millisecond
)

// Queue is the sink.
type Queue struct {
	path     string
	link     sink.Link
	event    sink.Event
	datagram []byte
	limited  *limitlog.Logger
	file     os.FileInfo // of the socket that we are connected to; nil if it is not known
}

// New makes a sink; the socket is connected to at the first event, and anew whenever the daemon was restarted.
func New(path string, log *slog.Logger) *Queue {
	q := &Queue{path: path, limited: limitlog.New(log)}
	q.link.Dial = func(context.Context) (net.Conn, error) {
		q.file, _ = os.Stat(path) // before: if it is replaced in between, we connect once more than needed
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			return nil, fmt.Errorf("%w; start the analysis daemon, and let this user (group ossec) write to its socket", err)
		}
		return c, nil
	}
	return q
}

// Write hands events over. It waits for a daemon that is slow.
func (q *Queue) Write(ctx context.Context, events sink.Batch) (r sink.Result, err error) {
	q.leaveOld(ctx)
	c, err := q.link.Conn(ctx)
	if err != nil {
		return r, err
	}
	err = q.link.During(ctx, func() error {
		for events.Next(&q.event) {
			var cut bool
			q.datagram, cut = appendDatagram(q.datagram[:0], &q.event, maxDatagram)
			if cut {
				q.complain("an event was cut to what the analysis daemon reads", "add a sink of another type if you need the whole event")
			}
			switch err := q.send(ctx, c); {
			case sink.TooLong(err):
				r.Refused++
				q.complain("an event is lost: this system sends no local datagrams of its length", "raise that limit of the system, such as net.local.dgram.maxdgram")
			case err != nil:
				return err
			}
			r.Done++
		}
		return nil
	})
	if err != nil {
		q.link.Break()
	}
	return r, err
}

// mark is what no daemon takes for an event. Collectors send such signs of life.
const mark = "1:ossec-keepalive:--MARK--: \x00"

// leaveOld leaves a daemon in whose place another one was started. One that was told to stop ends only when something comes, and runs
// beside the new one until then: events in its socket are lost with it, and its active responses go nowhere. So it gets a mark.
func (q *Queue) leaveOld(ctx context.Context) {
	now, err := os.Stat(q.path)
	if err != nil || q.file == nil || os.SameFile(q.file, now) {
		return
	}
	if c, err := q.link.Conn(ctx); err == nil && q.file != nil && !os.SameFile(q.file, now) {
		c.SetWriteDeadline(time.Now().Add(markWithin))
		c.Write([]byte(mark))
		q.link.Break()
	}
}

// send sends the datagram at hand.
func (q *Queue) send(ctx context.Context, c net.Conn) error {
	for {
		_, err := c.Write(q.datagram)
		if !errors.Is(err, syscall.ENOBUFS) && !errors.Is(err, syscall.EAGAIN) {
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("%w; check that the analysis daemon runs", err)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fullWait):
		}
	}
}

// complain logs what happened to the event at hand, at most once per logEvery.
func (q *Queue) complain(what, remedy string) {
	q.limited.Warn(what, "socket", q.path, "bytes", len(q.datagram), "agent", string(q.event.ID), "name", string(q.event.Name), "remedy", remedy)
}

// Close ends it.
func (q *Queue) Close() error {
	q.link.Break()
	return nil
}

// appendDatagram appends an event as the stock remote daemon passes it on, with the NUL at its end, and says whether it had
// to be cut:
//
//	1:(web01) 10.0.0.7->/var/log/auth.log:Nov 22 15:24:33 web01 sshd[123]: Failed password
//
// A colon in the location would end it early and becomes "_"; a NUL would end the whole and becomes a blank. What concerns
// no agent has the form of the server's own events.
func appendDatagram(b []byte, e *sink.Event, limit int) (_ []byte, cut bool) {
	b = append(b, e.Queue, ':')
	if len(e.ID) > 0 {
		bare, _, _ := bytes.Cut(e.IP, []byte{'/'})
		b = append(b, '(')
		b = append(b, e.Name...)
		b = append(b, ") "...)
		b = append(b, bare...)
		b = append(b, "->"...)
	}
	for _, c := range e.Location {
		if c == ':' {
			c = '_'
		}
		b = append(b, c)
	}
	b = append(b, ':')
	b = append(b, e.Message...)
	if len(b) > limit-1 {
		b, cut = b[:limit-1], true
	}
	for i, c := range b {
		if c == 0 {
			b[i] = ' '
		}
	}
	return append(b, 0), cut
}
