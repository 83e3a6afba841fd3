package command

import (
	"bytes"
	"strings"

	"ossecd/agent/source"
	"ossecd/keys/marked"
)

// inEvents is how a command stands in an event: the stock collector writes "\" for each colon, which would end a
// location.
func inEvents(command string) string { return strings.ReplaceAll(command, ":", `\`) }

// events makes events of a command's output (docs/protocol.md, "Events"). cut is how many bytes did not fit.
func (s *Source) events(output []byte) (events []source.Event, cut int) {
	prefix := "ossec: output: '" + s.name + "':"
	room := source.Room(s.cfg.MaxEvent, s.cfg.Location) - len(prefix) - 1
	output = marked.Text(output)
	if s.cfg.Whole {
		text := compact(output)
		if len(text) == 0 {
			return nil, 0
		}
		if len(text) > room {
			end := bytes.LastIndexByte(text[:room+1], '\n')
			if end < 0 {
				end = room
			}
			text, cut = text[:end], len(text)-end
		}
		return []source.Event{s.event(prefix+"\n", text)}, cut
	}
	for line := range bytes.Lines(output) {
		if end, whole := bytes.CutSuffix(line, []byte("\n")); whole {
			line = bytes.TrimSuffix(end, []byte("\r"))
		}
		for len(line) > room {
			events = append(events, s.event(prefix+" ", line[:room]))
			line = line[room:]
		}
		events = append(events, s.event(prefix+" ", line))
	}
	return events, 0
}

func (s *Source) event(prefix string, text []byte) source.Event {
	return source.Event{Queue: '1', Location: s.cfg.Location, Message: append([]byte(prefix), text...)}
}

// compact is an output as the stock collector sends it as a whole: without its last newline and empty lines. A carriage return stays
// where it is no part of a line end. It changes the slice.
func compact(output []byte) []byte {
	output = bytes.ReplaceAll(output, []byte("\r\n"), []byte("\n"))
	output = bytes.TrimSuffix(output, []byte("\n"))
	n := 0
	for i, c := range output {
		if c == '\n' && (n == 0 || output[i-1] == '\n') {
			continue
		}
		output[n] = c
		n++
	}
	return output[:n]
}
