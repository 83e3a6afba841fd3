package file

import (
	"bytes"
	"regexp"
	"unicode/utf8"

	"ossecd/agent/source"
)

// minRoom is the least room for a message, in bytes, with which lines can be split.
const minRoom = 2 * (len(source.Continues) + len(source.Continued))

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
	marked []byte // pieces with their marks, what is not UTF-8 in the file, and groups of lines that end as on Windows
	line   []byte // in UTF-8, while a group is looked for
	text   []byte // of the file, as it was read; none of a compressed one
	from   int64  // where that begins
}

func (b *batch) reset() {
	b.events, b.ends, b.marked, b.text = b.events[:0], b.ends[:0], b.marked[:0], nil
}

// form says how the bytes of a file become events.
type form struct {
	coding coding
	start  *regexp.Regexp // what the first line of an event matches; nil: each line is one
}

// split adds the events that are whole in data, which begins at position from of a file, and gives the position
// after them. A line, or a group of lines, of at most room bytes is one event; a larger line becomes several, a larger
// group ends before the line that does not fit. A line ends with a newline or a carriage return and a newline. What split does
// depends on the bytes alone, not on how many of them are there already. It takes something from data as soon as that is longer
// than room and a line end, or holds a newline and is not a group that may grow, unless the batch is full.
func (b *batch) split(f form, location string, data []byte, from mark, room int) mark {
	unit := f.coding.unit()
	for len(data) > 0 && len(b.events) < maxBatch {
		left := room
		if from.mid {
			left -= len(source.Continued)
		}
		limit := f.coding.fit(left)
		n := f.coding.newline(data[:min(len(data), limit+2*unit)])
		atReturn := len(data) >= limit+unit && f.coding.endsInReturn(data[:limit+unit]) // maybe of a line end: no text
		if n > limit && !atReturn {
			n = -1
		}
		switch {
		case n >= 0:
			if f.start != nil && !from.mid {
				if n = b.group(f, data, n, limit); n < 0 {
					return from
				}
			}
			from = b.add(f, location, data[:n], from, unit)
			data = data[n+unit:]
		case atReturn && len(data) < limit+2*unit:
			return from
		case len(data) >= limit+unit:
			n = f.coding.cutAt(data, f.coding.fit(left-len(source.Continues)))
			from = b.addPiece(f.coding, location, data[:n], from)
			data = data[n:]
		default:
			return from
		}
	}
	return from
}

// group is where the newline of the last line of an event begins whose first line ends at first; -1 where more lines may follow.
func (b *batch) group(f form, data []byte, first, limit int) int {
	unit := f.coding.unit()
	for last := first; ; {
		next := last + unit
		n := f.coding.newline(data[next:max(next, min(len(data), limit+unit))])
		if n < 0 {
			if len(data) >= limit+unit {
				return last
			}
			return -1
		}
		line := f.coding.trimReturn(data[next : next+n])
		if f.coding != plain {
			b.line = f.coding.append(b.line[:0], line)
			line = b.line
		}
		if f.start.Match(line) {
			return last
		}
		last = next + n
	}
}

// add adds the end of a line, or a whole one, which is followed by a newline of so many bytes (0 for none).
func (b *batch) add(f form, location string, text []byte, from mark, newline int) mark {
	to := mark{off: from.off + int64(len(text)+newline)}
	text = f.coding.trimReturn(text)
	if from.mid || f.coding != plain || f.start != nil {
		start := len(b.marked)
		if from.mid {
			b.marked = append(b.marked, source.Continued...)
		}
		b.marked = f.coding.append(b.marked, text)
		if f.start != nil && bytes.Contains(b.marked[start:], []byte("\r\n")) {
			b.marked = append(b.marked[:start], bytes.ReplaceAll(b.marked[start:], []byte("\r\n"), []byte("\n"))...)
		}
		text = b.marked[start:len(b.marked):len(b.marked)]
	}
	b.events = append(b.events, source.Event{Queue: '1', Location: location, Message: text})
	b.ends = append(b.ends, to)
	return to
}

// addPiece adds a piece of a line that goes on after it.
func (b *batch) addPiece(c coding, location string, text []byte, from mark) mark {
	to := mark{off: from.off + int64(len(text)), mid: true}
	start := len(b.marked)
	if from.mid {
		b.marked = append(b.marked, source.Continued...)
	}
	b.marked = c.append(b.marked, text)
	b.marked = append(b.marked, source.Continues...)
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
