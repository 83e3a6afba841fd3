package file

import (
	"io"

	"ossecd/manager/sink"
)

// lines are events as text, a line each, on their way to a writer that may take them in part.
type lines struct {
	form  func(b []byte, e *sink.Event) []byte
	text  []byte
	ends  []int // of the lines in text
	begun int   // bytes of the first line that were written before
	torn  bool  // what an earlier process wrote has no end: the first line begins with one
	event sink.Event
}

func newLines(archives bool) lines {
	if archives {
		return lines{form: appendArchives}
	}
	return lines{form: new(sink.JSON).Append}
}

// make makes the lines of a batch, which begins with the event whose line is begun.
func (l *lines) make(events sink.Batch) {
	l.text, l.ends = l.text[:0], l.ends[:0]
	if l.torn {
		l.text = append(l.text, '\n')
	}
	for events.Next(&l.event) {
		l.text = l.form(l.text, &l.event)
		l.ends = append(l.ends, len(l.text))
	}
}

// write writes the lines to w, and says how many bytes and how many whole lines it took.
func (l *lines) write(w io.Writer) (n, done int, err error) {
	if l.begun >= len(l.text) {
		l.begun = 0 // never so, since the batch begins with the same event
	}
	n, err = w.Write(l.text[l.begun:])
	n = max(n, 0)
	at := l.begun + n
	start := 0
	for done < len(l.ends) && l.ends[done] <= at {
		start = l.ends[done]
		done++
		l.torn = false
	}
	l.begun = at - start
	return n, done, err
}
