// Package shared keeps the files that a manager pushes to its agents: it takes the merged file apart, and stores
// it and its parts in one directory and nowhere else (docs/protocol.md, "Control messages").
package shared

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"ossecd/proto"
)

// MaxFiles is how many parts a merged file has at most.
const MaxFiles = 256

// ErrMerged says that a merged file is not of the form that Split reads.
var ErrMerged = errors.New("not a merged file")

// Part is one file within a merged one. Content is a part of what was split.
type Part struct {
	Name    string
	Content []byte
}

// Split takes a merged file apart: an optional first line "#GROUP", then for each file "!SIZE NAME\n" and SIZE
// bytes. refused are the names which Allowed does not hold for, or which come a second time; stock agents store
// such a part under another name. The error wraps ErrMerged; with one there are no parts.
func Split(merged []byte) (parts []Part, refused []string, err error) {
	rest := merged
	if len(rest) > 0 && rest[0] == '#' {
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return nil, nil, fmt.Errorf("%w: its first line does not end", ErrMerged)
		}
		rest = after
	}
	seen := map[string]bool{}
	for n := 0; len(rest) > 0; n++ {
		at := len(merged) - len(rest)
		if n == MaxFiles {
			return nil, nil, fmt.Errorf("%w: more than %d files in it", ErrMerged, MaxFiles)
		}
		line, _, ok := bytes.Cut(rest[:min(len(rest), maxLine)], []byte("\n"))
		sizeText, name, ok2 := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(" "))
		if !ok || !ok2 || !bytes.HasPrefix(sizeText, []byte("!")) {
			return nil, nil, fmt.Errorf("%w: no line \"!SIZE NAME\" at byte %d", ErrMerged, at)
		}
		content := rest[len(line)+1:]
		size, err := strconv.ParseUint(string(sizeText[1:]), 10, 32)
		if err != nil || size > uint64(len(content)) {
			return nil, nil, fmt.Errorf("%w: the size at byte %d is %.20q and %d bytes follow", ErrMerged, at, sizeText[1:], len(content))
		}
		key := strings.ToLower(string(name)) // some file systems take both for one
		if !Allowed(string(name)) || key == proto.MergedName || seen[key] {
			refused = append(refused, string(name))
		} else {
			seen[key] = true
			parts = append(parts, Part{string(name), content[:size]})
		}
		rest = content[size:]
	}
	return parts, refused, nil
}

// maxLine bounds the line in front of a part.
const maxLine = 300

// maxName leaves room for what a name gets while the file is written; most systems have 255 bytes for all.
const maxName = 200

// Allowed says whether a file of this name is stored: a base name that no system takes for a path, a device or
// another name.
func Allowed(name string) bool {
	return len(name) <= maxName && proto.BaseName(name) && filepath.IsLocal(name) && !strings.HasSuffix(name, ".") &&
		!strings.HasSuffix(name, " ") && !deviceName(name)
}

// deviceName says whether Windows takes the name for a device, whatever its extension.
func deviceName(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base = strings.TrimSpace(base); base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}
