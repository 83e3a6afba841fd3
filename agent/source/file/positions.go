package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"unicode/utf8"

	"ossecd/agent/source/file/pattern"
)

// The positions file is one JSON object, one file a line:
//
//	{"version":1,"generation":7,
//	"globs":["/var/log/*.log"],
//	"files":[
//	{"path":"/var/log/a.log","device":64513,"inode":131,"offset":90210,"mid_line":false,"fingerprint":"93…","fingerprint_length":256}
//	]}
//
// Paths are absolute. Files of one path stand in the order in which they are to be read. A name that is not UTF-8
// is {"base64":"…"}.
const positionsVersion = 1

// maxPositions is the largest positions file read, in bytes; it has room for a million files.
const maxPositions = 512 << 20

// positions is what a positions file says.
type positions struct {
	globs []name
	files []record
	all   bool // the file was lost: everything was known, and nothing is

	generation uint64 // counts the savings; see progress
}

// record is the saved position of one file.
type record struct {
	path name
	id   identity
	reached
	was *reached // how far it was read when it was last truncated, nil for never
}

// reached is how far a file was read, and what tells that it is still the same.
type reached struct {
	pos   mark // all before it was sent
	print fingerprint
	end   ending // of what was read; of an earlier position, or zero, where it is not known
}

// name is a path or glob, which may be any bytes.
type name string

func (n name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(map[string][]byte{"base64": []byte(n)})
}

func (n *name) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var o struct {
			Base64 []byte `json:"base64"`
		}
		err := json.Unmarshal(b, &o)
		*n = name(o.Base64)
		return err
	}
	return json.Unmarshal(b, (*string)(n))
}

// absolute is the name of a path in the positions file, which must not depend on the working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

type jsonRecord struct {
	Path   name   `json:"path"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	jsonReached
	Truncated *jsonReached `json:"truncated,omitempty"` // how far it was read when it was last truncated
}

type jsonReached struct {
	Offset int64  `json:"offset"`
	Mid    bool   `json:"mid_line"`
	Print  string `json:"fingerprint"`
	Length int    `json:"fingerprint_length"`

	End       string `json:"ending,omitempty"` // of the bytes before EndOffset; versions before did not write it
	EndOffset int64  `json:"ending_offset,omitempty"`
	EndLength int    `json:"ending_length,omitempty"`
}

type jsonPositions struct {
	Version    int          `json:"version"`
	Generation uint64       `json:"generation"`
	Globs      []name       `json:"globs"`
	Files      []jsonRecord `json:"files"`
}

// covers says that a path which is met for the first time was among those followed before: then it was made while
// the agent was down.
func (p positions) covers(path string) bool {
	if p.all {
		return true
	}
	for _, g := range p.globs {
		if pattern.Match(string(g), path) {
			return true
		}
	}
	return false
}

// appendTo appends the content of a positions file.
func (p positions) appendTo(b []byte) ([]byte, error) {
	globs, err := json.Marshal(append([]name{}, p.globs...))
	if err != nil {
		return nil, err
	}
	b = fmt.Appendf(b, "{\"version\":%d,\"generation\":%d,\n\"globs\":%s,\n\"files\":[", positionsVersion, p.generation, globs)
	for i, r := range p.files {
		j := jsonRecord{Path: r.path, Device: r.id.Device, Inode: r.id.Inode, jsonReached: reachedJSON(&r.reached)}
		if r.was != nil {
			was := reachedJSON(r.was)
			j.Truncated = &was
		}
		line, err := json.Marshal(j)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, '\n'), line...)
	}
	return append(b, "\n]}\n"...), nil
}

// parsePositions reads the content of a positions file.
func parsePositions(b []byte) (positions, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var j jsonPositions
	if err := d.Decode(&j); err != nil {
		return positions{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return positions{}, errors.New("more follows the end")
	}
	if j.Version != positionsVersion {
		return positions{}, fmt.Errorf("version %d, not %d", j.Version, positionsVersion)
	}
	p := positions{globs: j.Globs, generation: j.Generation}
	for i, f := range j.Files {
		r := record{path: f.Path, id: identity{f.Device, f.Inode}}
		err := f.jsonReached.into(&r.reached)
		if f.Path == "" {
			err = errors.New("no path")
		}
		if err == nil && f.Truncated != nil {
			r.was = new(reached)
			err = f.Truncated.into(r.was)
		}
		if err != nil {
			return positions{}, fmt.Errorf("file %d: %w", i+1, err)
		}
		p.files = append(p.files, r)
	}
	return p, nil
}

func reachedJSON(r *reached) jsonReached {
	return jsonReached{
		Offset: r.pos.off, Mid: r.pos.mid,
		Print: r.print.String(), Length: r.print.n,
		End: r.end.print.String(), EndOffset: r.end.off, EndLength: r.end.print.n,
	}
}

func (j *jsonReached) into(r *reached) error {
	switch {
	case j.Offset < 0 || j.Offset > math.MaxInt64/2:
		return fmt.Errorf("offset %d", j.Offset)
	case j.EndOffset < 0 || j.EndOffset < int64(j.EndLength) || j.EndOffset > math.MaxInt64/2 || !r.end.print.parse(j.End, j.EndLength):
		return fmt.Errorf("ending %.64q of %d bytes before %d", j.End, j.EndLength, j.EndOffset)
	case !r.print.parse(j.Print, j.Length):
		return fmt.Errorf("fingerprint %.64q of %d bytes", j.Print, j.Length)
	}
	r.pos, r.end.off = mark{j.Offset, j.Mid}, j.EndOffset
	return nil
}

// loadPositions reads the positions file; a missing one is empty. One that is damaged is kept under another name,
// and every file is read from its beginning: what was delivered before is repeated, nothing is lost.
func loadPositions(path string, log *slog.Logger) (positions, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return positions{}, nil
	}
	if err != nil {
		return positions{}, fmt.Errorf("positions of followed files: %w; let the agent's user read it", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPositions+1))
	f.Close()
	if err != nil {
		return positions{}, fmt.Errorf("positions of followed files: %s: %w; check the disk, or remove the file to start over", path, err)
	}
	var p positions
	if len(b) > maxPositions {
		err = fmt.Errorf("more than %d bytes", maxPositions)
	} else if p, err = parsePositions(b); err == nil {
		return p, nil
	}
	bad := path + ".bad"
	log.Error("the positions file is damaged; all followed files are read from their beginning, so lines that were sent before are sent again",
		"path", path, "kept_as", bad, "error", err)
	if err := os.Rename(path, bad); err != nil {
		log.Error("the damaged positions file cannot be kept and will be overwritten", "path", path, "error", err)
	}
	return positions{all: true}, nil
}
