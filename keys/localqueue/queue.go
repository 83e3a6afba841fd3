// Package localqueue stands in for a daemon of a stock install: it has the unix datagram socket to which the other programs of the host
// write (docs/protocol.md, "Events").
//
// A socket can lose its name while it is read: a stock daemon that is started beside us removes it and makes its own, as a restart of all
// stock daemons has it do, or somebody removes the file. The reader would notice nothing, and hear nothing for ever. So it is looked at.
package localqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"ossecd/keys/limitlog"
)

// LookEvery is how often it is looked whether the path still leads to our socket.
const LookEvery = 2 * time.Second

// maxDatagram is the longest that is read. Stock programs write less.
const maxDatagram = 1 << 16

// Queue is a socket at a path. Make it with [Open].
type Queue struct {
	path string
	log  *limitlog.Logger
	look time.Duration

	now    *held // that we made last
	before *held // the one before it: who connected to it writes there still
	gone   bool  // at the last look nothing led to ours
}

// Open makes the socket, with mode 0660 and the group of its directory. It is an error if another process reads it.
func Open(path string, log *slog.Logger) (*Queue, error) {
	h, err := listen(path)
	if err != nil {
		return nil, err
	}
	return &Queue{path: path, log: limitlog.New(log), look: LookEvery, now: h}, nil
}

// Close ends a queue that was not served.
func (q *Queue) Close() { q.now.end() }

// Serve has take called with each datagram, one at a time, until ctx ends; then it removes the socket. When the file was removed it makes
// the socket anew. When another process reads there, lost is called at each look: an error of it ends Serve, which returns it.
func (q *Queue) Serve(ctx context.Context, take func([]byte), lost func(by error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var reading sync.WaitGroup
	read := func(h *held) {
		reading.Go(func() {
			q.read(ctx, h.conn, func(b []byte) {
				mu.Lock()
				defer mu.Unlock()
				take(b)
			})
		})
	}
	defer func() {
		cancel()
		q.now.end()
		if q.before != nil {
			q.before.end()
		}
		reading.Wait()
	}()
	read(q.now)
	ticker := time.NewTicker(q.look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if q.now.named() {
			q.gone = false
			continue
		}
		if by := taken(q.path); by != nil {
			q.gone = false
			if err := lost(by); err != nil {
				return err
			}
			continue
		}
		if !q.gone { // who removes it may be about to make its own
			q.gone = true
			continue
		}
		h, err := listen(q.path)
		if err != nil {
			q.log.Error("the local queue was removed, and cannot be made again", "path", q.path, "err", err)
			continue
		}
		q.gone = false
		q.log.Warn("the local queue was removed or left, and is made again", "path", q.path,
			"remedy", "look who removes it; programs that cannot connect any more may need a restart")
		if q.before != nil {
			q.before.end()
		}
		q.before, q.now = q.now, h
		read(h)
	}
}

// read reads a socket until it is closed.
func (q *Queue) read(ctx context.Context, conn *net.UnixConn, take func([]byte)) {
	b := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			q.log.Error("the local queue is not read", "path", q.path, "err", fmt.Errorf("%w; it is tried again", err))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		default:
			take(b[:n])
		}
	}
}
