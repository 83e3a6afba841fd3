// Package buffer holds events of senders that cannot wait, while the agent takes none. It holds them in order, up to a number of
// bytes. What does not fit is lost, counted and logged, and an event tells the manager of it, at the place in the stream where it
// is missing.
//
//	Add ─┐                                   one batch at a time
//	Add ─┼─▶ filling ── taken as a whole ─▶ flying ─▶ Emit, then the event about what was lost
//	Wait ┘
package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ossecd/agent/source"
	"ossecd/keys/limitlog"
)

// Size is how many bytes wait at most, counted with an overhead for each event.
const Size = 4 << 20

const (
	overhead = 48 // bytes that the record of an event takes
	slice    = 256
	keep     = 256 << 10   // bytes of messages for which memory is kept in any case
	gather   = time.Second // before the first of a series is logged, so that the line has its size
)

// Buffer is made with [New]. Add and Wait may be called by many goroutines.
type Buffer struct {
	name string // of the source, as the log and the event about losses say it
	size int
	log  *slog.Logger

	more  chan struct{} // something was added; has room for one
	noted chan struct{} // something was counted; has room for one

	mu      sync.Mutex
	filling []record
	bytes   []byte        // the messages of filling
	held    int           // bytes of filling and of what is in Emit
	room    chan struct{} // closed when held has shrunk; nil while nobody waits
	lost    uint64        // since the last event about it
	unsent  uint64        // taken, and not emitted before the end
	counts  map[Note]*count
}

// record is an event whose message ends there in the buffer's bytes, and begins where the one before it ends.
type record struct {
	queue    byte
	location string
	end      int
}

// Note is something worth a line in the log, with how often it happened.
type Note struct{ Text, Remedy string }

type count struct {
	n    uint64 // since it was last logged
	last string // what it last happened with
}

var (
	full  = Note{"events lost: more came than the agent could pass on", "find out why no manager takes events, or give the agent a spool: --spool-size"}
	ended = Note{"events lost: the agent ended before it could pass them on", "find out why no manager took events"}
)

// New makes the buffer of a source that holds up to size bytes.
func New(name string, size int, log *slog.Logger) *Buffer {
	return &Buffer{name: name, size: size, log: log, more: make(chan struct{}, 1), noted: make(chan struct{}, 1), counts: make(map[Note]*count)}
}

// Add takes an event, whose message is copied, or loses it. It never waits.
func (b *Buffer) Add(queue byte, location string, message []byte) {
	b.mu.Lock()
	added := b.put(queue, location, message)
	if !added {
		b.lost++
		b.count(full, 1, location)
	}
	b.mu.Unlock()
	if added {
		signal(b.more)
	}
}

// Count counts n times something for the log, which tells it within a second or, where it told of anything within the last
// minute, after that. with is what it happened with, such as the address of a sender; the log has the last one.
func (b *Buffer) Count(note Note, n uint64, with string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(note, n, with)
}

func (b *Buffer) count(note Note, n uint64, with string) {
	c := b.counts[note]
	if c == nil {
		c = new(count)
		b.counts[note] = c
	}
	c.n += n
	c.last = with
	signal(b.noted)
}

// Wait takes an event as soon as there is room, or returns the error of a context that ended before.
func (b *Buffer) Wait(ctx context.Context, queue byte, location string, message []byte) error {
	for {
		b.mu.Lock()
		added := b.put(queue, location, message)
		if !added && b.room == nil {
			b.room = make(chan struct{})
		}
		room := b.room
		b.mu.Unlock()
		if added {
			signal(b.more)
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			b.giveUp(1)
			return ctx.Err()
		}
	}
}

// put says whether there was room. A single event always fits an empty buffer.
func (b *Buffer) put(queue byte, location string, message []byte) bool {
	n := charge(location, len(message))
	if b.held > 0 && b.held+n > b.size {
		return false
	}
	b.held += n
	b.bytes = append(b.bytes, message...)
	b.filling = append(b.filling, record{queue, location, len(b.bytes)})
	return true
}

func charge(location string, message int) int { return len(location) + message + overhead }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run emits what is added until ctx ends, for which it returns nil, or Emit fails otherwise. It may be called once.
func (b *Buffer) Run(ctx context.Context, out source.Output) error {
	logging, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.logCounts(logging)
	}()
	err := b.emitAll(ctx, out)
	cancel()
	<-done
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// End logs what was counted since, and what was not emitted before Run returned. It is called when nothing is added any
// more.
func (b *Buffer) End() {
	b.mu.Lock()
	if n := b.unsent + uint64(len(b.filling)); n > 0 {
		b.counts[ended] = &count{n: n}
	}
	b.mu.Unlock()
	b.logCount()
}

func (b *Buffer) emitAll(ctx context.Context, out source.Output) error {
	var records, spare []record
	var bytes, spareBytes []byte
	events := make([]source.Event, 0, slice)
	for {
		b.mu.Lock()
		records, b.filling = b.filling, spare[:0]
		bytes, b.bytes = b.bytes, spareBytes[:0]
		lost := b.lost
		b.lost = 0
		b.mu.Unlock()
		begin := 0
		for rest := records; len(rest) > 0; {
			n := min(slice, len(rest))
			events = events[:0]
			for _, r := range rest[:n] {
				events = append(events, source.Event{Queue: r.queue, Location: r.location, Message: bytes[begin:r.end:r.end]})
				begin = r.end
			}
			sent, err := out.Emit(ctx, events)
			b.release(events[:sent])
			if err != nil {
				b.giveUp(len(rest) - sent)
				return err
			}
			rest = rest[n:]
		}
		clear(records) // lets go of the locations
		if spare, spareBytes = records, bytes; cap(bytes) > keep && len(bytes) < cap(bytes)/8 {
			spare, spareBytes = nil, nil // a burst is over
		}
		if lost > 0 {
			text := fmt.Sprintf("ossec: Agent event queue is full: %d events lost (%s).", lost, b.name)
			if _, err := out.Emit(ctx, []source.Event{{Queue: '1', Location: "ossecd", Message: []byte(text)}}); err != nil {
				return err // they were logged
			}
		}
		if len(records) > 0 || lost > 0 {
			continue
		}
		out.Idle()
		select {
		case <-b.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release makes room for as much as these events took.
func (b *Buffer) release(events []source.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		b.held -= charge(e.Location, len(e.Message))
	}
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// giveUp counts events that were taken and will not be sent.
func (b *Buffer) giveUp(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsent += uint64(n)
}

// logCounts logs what is counted, once a minute at most.
func (b *Buffer) logCounts(ctx context.Context) {
	for next := time.Now(); ; next = time.Now().Add(limitlog.Every) {
		select {
		case <-b.noted:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(max(gather, time.Until(next))):
		case <-ctx.Done():
			return // End logs the rest
		}
		b.logCount()
	}
}

func (b *Buffer) logCount() {
	b.mu.Lock()
	counts := b.counts
	b.counts = make(map[Note]*count)
	b.mu.Unlock()
	for note, c := range counts {
		attrs := []any{"from", b.name, "count", c.n}
		if c.last != "" {
			attrs = append(attrs, "last", c.last)
		}
		b.log.Warn(note.Text, append(attrs, "remedy", note.Remedy)...)
	}
}
