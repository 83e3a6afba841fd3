package proto

import (
	"bytes"
	"strconv"
)

// Run is what a manager that is an ossecd says to agents that are, behind an Ack (docs/protocol.md, "A restart of the manager shows"):
// which run of it this is, the last count that earlier runs took from the agent, the first that this one took, and what it answers.
type Run struct {
	Name        string // a word
	Last, First Counter
	Of          Counter // within a conversation, of the message that is answered; else zero
}

// isWord says whether b is 1 to maxWord letters and digits.
func isWord(b []byte) bool {
	return len(b) > 0 && len(b) <= maxWord && !bytes.ContainsFunc(b, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

const maxWord = 64

// AppendAck appends an Ack with a Run behind it.
func AppendAck(dst []byte, r *Run) []byte {
	dst = append(append(append(dst, Ack...), "run="...), r.Name...)
	dst = appendCounter(append(dst, " last="...), r.Last)
	dst = appendCounter(append(dst, " first="...), r.First)
	if r.Of != (Counter{}) {
		dst = appendCounter(append(dst, " of="...), r.Of)
	}
	return dst
}

func appendCounter(dst []byte, c Counter) []byte {
	dst = strconv.AppendUint(dst, uint64(c.Global), 10)
	return strconv.AppendUint(append(dst, ':'), uint64(c.Local), 10)
}

func isAckOfRun(message []byte) bool {
	rest, ok := bytes.CutPrefix(message, []byte(Ack))
	if ok {
		_, ok = ParseRun(rest)
	}
	return ok
}

// ParseRun reads what stands behind an Ack; ok is false where nothing does, as with a stock manager.
func ParseRun(b []byte) (r Run, ok bool) {
	var parts [4][]byte
	for i, tag := range []string{"run=", " last=", " first=", " of="} {
		if i == 3 && len(b) == 0 {
			break
		}
		if b, ok = bytes.CutPrefix(b, []byte(tag)); !ok {
			return r, false
		}
		end := bytes.IndexByte(b, ' ')
		if end < 0 {
			end = len(b)
		}
		parts[i], b = b[:end], b[end:]
	}
	if len(b) > 0 || !isWord(parts[0]) {
		return r, false
	}
	r.Name = string(parts[0])
	for i, c := range []*Counter{&r.Last, &r.First, &r.Of} {
		if parts[i+1] == nil {
			break
		}
		if *c, ok = parseCounter(parts[i+1]); !ok {
			return Run{}, false
		}
	}
	return r, true
}

func parseCounter(b []byte) (Counter, bool) {
	global, local, ok := bytes.Cut(b, []byte(":"))
	if !ok || len(global) == 0 || len(global) > 10 || len(local) == 0 || len(local) > 4 {
		return Counter{}, false
	}
	g, ok1 := digits(global)
	l, ok2 := digits(local)
	return Counter{uint32(g), uint32(l)}, ok1 && ok2 && g <= 0xffff_ffff
}
