package proto

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Bounds of what managers push: what an agent of ours takes.
const (
	MaxPushed      = 20 << 20 // bytes of a file
	MaxMergedFiles = 256      // in a merged file
)

// ErrMerged says that a merged file is not of the form that SplitMerged reads.
var ErrMerged = errors.New("not a merged file")

// Part is one file within a merged one (docs/protocol.md, "Control messages").
type Part struct {
	Name    string // as hostile as its sender
	Content []byte
}

// AppendPart appends a file to a merged one.
func AppendPart(dst []byte, name string, content []byte) []byte {
	dst = append(strconv.AppendInt(append(dst, '!'), int64(len(content)), 10), ' ')
	return append(append(append(dst, name...), '\n'), content...)
}

// SplitMerged takes a merged file apart: an optional first line "#GROUP", then for each file "!SIZE NAME\n" and SIZE bytes, which are a
// part of merged. The error wraps ErrMerged; with one there are no parts.
func SplitMerged(merged []byte) (parts []Part, err error) {
	rest := merged
	if len(rest) > 0 && rest[0] == '#' {
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return nil, fmt.Errorf("%w: its first line does not end", ErrMerged)
		}
		rest = after
	}
	for len(rest) > 0 {
		at := len(merged) - len(rest)
		if len(parts) == MaxMergedFiles {
			return nil, fmt.Errorf("%w: more than %d files in it", ErrMerged, MaxMergedFiles)
		}
		line, _, ok := bytes.Cut(rest[:min(len(rest), maxPartLine)], []byte("\n"))
		sizeText, name, ok2 := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(" "))
		if !ok || !ok2 || !bytes.HasPrefix(sizeText, []byte("!")) {
			return nil, fmt.Errorf("%w: no line \"!SIZE NAME\" at byte %d", ErrMerged, at)
		}
		content := rest[len(line)+1:]
		size, err := strconv.ParseUint(string(sizeText[1:]), 10, 32)
		if err != nil || size > uint64(len(content)) {
			return nil, fmt.Errorf("%w: the size at byte %d is %.20q and %d bytes follow", ErrMerged, at, sizeText[1:], len(content))
		}
		parts = append(parts, Part{string(name), content[:size:size]})
		rest = content[size:]
	}
	return parts, nil
}

// maxPartLine bounds the line in front of a part.
const maxPartLine = 300

// Chunk is the piece of a file from at on that goes into one message. No piece begins like a control message; and none like an event, as
// which it could be sent back to the manager, but for those of a file with colons all over.
func Chunk(file []byte, at int) []byte {
	end := min(at+ChunkSize, len(file))
	for e := end; e > max(at, end-64); e-- {
		if next := file[e:]; !IsControl(next) && (len(next) < 2 || next[1] != ':') {
			return file[at:e]
		}
	}
	for end > at+1 && IsControl(file[end:]) {
		end--
	}
	return file[at:end]
}
