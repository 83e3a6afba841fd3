package file

import (
	"bytes"
	"unicode/utf8"

	"ossecd/agent/source"
)

// Marks of a line that is larger than an event. Every piece but the last ends in the first, every piece but
// the first begins with the second.
const (
	continues = " [ossecd: line continues]"
	continued = "[ossecd: line continued] "
)

// minRoom is the least room for a message, in bytes, with which lines can be split.
const minRoom = 2 * (len(continues) + len(continued))

// maxBatch bounds the events of one batch.
const maxBatch = 1024

// mark is the position in a file after an event: its offset, and whether that lies inside a line.
type mark struct {
	off int64
	mid bool
}

// batch holds events of one file. Their messages lie in the bytes given to split and in marked; all are used
// again after reset.
type batch struct {
	events []source.Event
	ends   []mark // the position after each event
	marked []byte // pieces with their marks
}

func (b *batch) reset() {
	b.events, b.ends, b.marked = b.events[:0], b.ends[:0], b.marked[:0]
}

// split adds the events that are whole in data, which begins at position from of a file, and gives the position
// after them. A line of at most room bytes is one event; a larger one becomes several. What it does depends on
// the bytes alone, not on how many of them are there already. It takes something from data as soon as that is
// longer than room, or holds a newline, unless the batch is full.
func (b *batch) split(location string, data []byte, from mark, room int) mark {
	for len(data) > 0 && len(b.events) < maxBatch {
		limit := room
		if from.mid {
			limit -= len(continued)
		}
		n := bytes.IndexByte(data[:min(len(data), limit+1)], '\n')
		switch {
		case n >= 0:
			from = b.add(location, data[:n], from, 1)
			data = data[n+1:]
		case len(data) > limit:
			n = cutAt(data, limit-len(continues))
			from = b.addPiece(location, data[:n], from)
			data = data[n:]
		default:
			return from
		}
	}
	return from
}

// add adds the end of a line, or a whole one, which is followed by a newline of so many bytes (0 or 1).
func (b *batch) add(location string, text []byte, from mark, newline int64) mark {
	to := mark{off: from.off + int64(len(text)) + newline}
	if from.mid {
		start := len(b.marked)
		b.marked = append(b.marked, continued...)
		b.marked = append(b.marked, text...)
		text = b.marked[start:len(b.marked):len(b.marked)]
	}
	b.events = append(b.events, source.Event{Queue: '1', Location: location, Message: text})
	b.ends = append(b.ends, to)
	return to
}

// addPiece adds a piece of a line that goes on after it.
func (b *batch) addPiece(location string, text []byte, from mark) mark {
	to := mark{off: from.off + int64(len(text)), mid: true}
	start := len(b.marked)
	if from.mid {
		b.marked = append(b.marked, continued...)
	}
	b.marked = append(b.marked, text...)
	b.marked = append(b.marked, continues...)
	text = b.marked[start:len(b.marked):len(b.marked)]
	b.events = append(b.events, source.Event{Queue: '1', Location: location, Message: text})
	b.ends = append(b.ends, to)
	return to
}

// cutAt is the nearest place at or before n where a UTF-8 character begins, or n where there is none within
// the length of a character.
func cutAt(data []byte, n int) int {
	for c := n; c > n-utf8.UTFMax && c > 0; c-- {
		if utf8.RuneStart(data[c]) {
			return c
		}
	}
	return n
}
