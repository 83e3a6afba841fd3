package share

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"strings"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// merged is the files of a directory as agents get them, joined in the order of their names (docs/protocol.md, "Control messages"), or
// the merged file that is there already, where it says the same.
// It never changes.
type merged struct {
	sum   string // MD5 as hexadecimal digits, as agents report it
	data  []byte
	files int
}

// directory is a directory of files for agents.
type directory struct {
	path    string
	seen    string // names, sizes and times of its files at the last look
	built   string // those of which the last merged was made
	skipped string // names that were left out, as logged
}

// look makes a new merged where the files have changed, and not since the last look: whoever writes several is given time to
// finish. It is nil where there is nothing new. A directory without files gives one without data, which is not pushed.
func (d *directory) look() (m *merged, skipped []string, err error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	var seen strings.Builder
	for _, e := range entries {
		name := e.Name()
		if name == proto.MergedName || strings.HasPrefix(name, ".") {
			continue
		}
		info, err := root.Stat(name)
		if err != nil || !info.Mode().IsRegular() || !proto.BaseName(name) {
			if err != nil || !info.IsDir() {
				skipped = append(skipped, name)
			}
			continue
		}
		names = append(names, name)
		fmt.Fprintf(&seen, "%s/%d/%d/", name, info.Size(), info.ModTime().UnixNano())
	}
	first := d.built == "" && d.seen == ""
	settled := d.seen == seen.String() || first
	d.seen = seen.String()
	if d.built == d.seen && !first || !settled {
		return nil, skipped, nil
	}
	if m, err = merge(d.path, names); err != nil {
		return nil, skipped, err
	}
	d.built = d.seen
	return m, skipped, nil
}

func merge(dir string, names []string) (*merged, error) {
	if len(names) > proto.MaxMergedFiles {
		return nil, fmt.Errorf("%d files are too many; agents take %d", len(names), proto.MaxMergedFiles)
	}
	m := &merged{files: len(names)}
	for _, name := range names {
		content, err := durable.ReadIn(dir, name, proto.MaxPushed)
		if err != nil {
			return nil, err
		}
		if m.data = proto.AppendPart(m.data, name, content); len(m.data) > proto.MaxPushed {
			return nil, fmt.Errorf("they have over %d bytes together, which is what agents take", proto.MaxPushed)
		}
	}
	if theirs, err := durable.ReadIn(dir, proto.MergedName, proto.MaxPushed); err == nil && sameFiles(theirs, m.data) {
		m.data = theirs
	}
	sum := md5.Sum(m.data)
	m.sum = hex.EncodeToString(sum[:])
	return m, nil
}

// sameFiles says that two merged files have the same files. A stock manager joins them in no order of its own; to push another one
// when we take its place, or it takes ours, would do so to every agent.
func sameFiles(a, b []byte) bool {
	files, ok := contents(a)
	others, ok2 := contents(b)
	return ok && ok2 && len(a) == len(b) && maps.EqualFunc(files, others, bytes.Equal)
}

// contents are the files of a merged one by name. ok is false where it is none, or has a name twice.
func contents(data []byte) (files map[string][]byte, ok bool) {
	parts, err := proto.SplitMerged(data)
	files = make(map[string][]byte, len(parts))
	for _, p := range parts {
		files[p.Name] = p.Content
	}
	return files, err == nil && len(files) == len(parts)
}
