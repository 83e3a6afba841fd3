// Package spool is the agent's queue on disk, between its sources and the channel: events as the records of a queue.Queue.
package spool

import (
	"encoding/binary"
	"fmt"

	"ossecd/agent/source"
	"ossecd/keys/durable/queue"
)

// Spool is a queue of events. Append may be called by many goroutines.
type Spool struct {
	*queue.Queue
	readers []*Reader
}

// Open opens the spool.
func Open(cfg queue.Config) (*Spool, error) {
	q, err := queue.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s := &Spool{Queue: q}
	for i := range max(len(cfg.Readers), 1) {
		s.readers = append(s.readers, &Reader{Reader: q.Reader(i)})
	}
	return s, nil
}

// Append puts events behind all others, and says how many, as queue.Queue does with records. The place of an event in the spool is the
// number that its record gets there, one more than that of the record before.
func (s *Spool) Append(events []source.Event) (int, error) {
	return s.Queue.Append(len(events), func(b []byte, i int) []byte { return appendEvent(b, &events[i]) })
}

// Reader is the reader of a place in the configuration's Readers.
func (s *Spool) Reader(i int) *Reader { return s.readers[i] }

// Reader reads the spool for one receiver of its events. Its methods are for one goroutine.
type Reader struct {
	*queue.Reader
	event source.Event
	odd   uint64 // records that were no events, as of another version, and not told yet
}

// Next is the next event, and goes past it. It is valid until the next call; ok is false where there is none.
func (r *Reader) Next() (*source.Event, bool) {
	for {
		record, ok := r.Reader.Next()
		if !ok {
			return nil, false
		}
		if parseEvent(record, &r.event) {
			return &r.event, true
		}
		r.odd++
	}
}

// Lost is how many events this reader lost, to a full spool or a damaged file, since it was last called.
func (r *Reader) Lost() uint64 {
	n := r.Reader.Lost() + r.odd
	r.odd = 0
	return n
}

// The record of an event is
//
//	1 byte   queue
//	2 bytes  length of the location, little-endian; then the location
//	         the message
const recordHead = 3

// appendEvent appends the record of an event. A location that is too long for one is cut; the queue cuts the message.
func appendEvent(b []byte, e *source.Event) []byte {
	location := e.Location[:min(len(e.Location), 1<<16-1)]
	b = binary.LittleEndian.AppendUint16(append(b, e.Queue), uint16(len(location)))
	return append(append(b, location...), e.Message...)
}

// parseEvent reads a record, and says whether it is one of an event, whose message is part of it then.
func parseEvent(record []byte, e *source.Event) bool {
	if len(record) < recordHead {
		return false
	}
	n := recordHead + int(binary.LittleEndian.Uint16(record[1:]))
	if n > len(record) {
		return false
	}
	e.Queue, e.Message = record[0], record[n:]
	if location := record[recordHead:n]; string(location) != e.Location { // as a rule the same as before
		e.Location = string(location)
	}
	return true
}
