package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	maxLogQueue  = 1 << 20         // bytes of the log that wait to be written
	logEndWithin = 1 * time.Second // what is left is written within, at the end
)

// logQueue writes to a slow writer in a goroutine of its own, so that nobody waits for a standard error that nobody reads: neither the receivers of
// the manager nor the sources of the agent. Lines keep their order. Where too many wait, the newest are dropped, and a line in their place says how many.
type logQueue struct {
	to    io.Writer
	ended chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	more    sync.Cond // there is something to do for the goroutine
	waiting []byte
	dropped uint64
	closed  bool
	tell    func(dropped uint64) []byte // the line about them
}

func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{to: to, ended: make(chan struct{})}
	q.more.L = &q.mu
	q.setFormat("text")
	go q.run()
	return q
}

// setFormat says how the line about what was dropped is written.
func (q *logQueue) setFormat(format string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell = func(dropped uint64) []byte {
		var line bytes.Buffer
		if log, err := newLog(&line, format, "info"); err == nil {
			log.Warn("lines of this log were dropped, since they could not be written", "lines", dropped,
				"remedy", "check the program that reads standard error, and the disk to which it writes")
		}
		return line.Bytes()
	}
}

// Write takes a line. It never fails, and does not wait.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) > 0 && len(q.waiting)+len(p) > maxLogQueue {
		q.dropped++
		return len(p), nil
	}
	q.tellDropped()
	q.waiting = append(q.waiting, p...)
	q.more.Signal()
	return len(p), nil
}

// tellDropped puts the line about what was dropped where that would stand. q.mu is held.
func (q *logQueue) tellDropped() {
	if q.dropped > 0 {
		q.waiting = append(q.waiting, q.tell(q.dropped)...)
		q.dropped = 0
	}
}

func (q *logQueue) run() {
	defer close(q.ended)
	var text []byte
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.waiting) == 0 && !q.closed {
			q.more.Wait()
		}
		if len(q.waiting) == 0 {
			return
		}
		text, q.waiting = q.waiting, text[:0]
		q.mu.Unlock()
		q.to.Write(text) // there is nobody to tell
		q.mu.Lock()
		q.tellDropped()
	}
}

// close writes what is left, if that can be done in time. What comes later is dropped.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	select {
	case <-q.ended:
	case <-time.After(logEndWithin):
	}
}
