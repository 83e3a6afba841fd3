package file

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"ossecd/agent/source/file/compressed"
)

// packed is a file that was rotated and compressed while the agent was down.
type packed struct {
	*compressed.Reader
	head [4]byte // the first bytes of the unpacked file
}

// readPacked is read for a compressed file. At its end nothing is left: its last line is sent with or without a newline. The
// error, if there is one, comes once all before it was read.
func (t *tail) readPacked(room int, b *batch) error {
	t.settle(t.packed.head[:], math.MaxInt64)
	data := t.packed.Read(t.pos.off, room)
	t.split(data, b)
	switch {
	case len(b.events) > 0 || !t.packed.Ended():
	case len(data) > 0:
		newline := 0
		if t.rest == t.lines {
			newline = t.form.coding.unit()
		}
		b.add(t.form, t.track.location, data[:len(data)-newline], t.pos, newline)
		t.rest, t.lines = 0, 0
	default:
		return t.packed.Failure()
	}
	return nil
}

// reopenPacked looks for a saved position in the compressed files beside a path: in one whose name begins like the path's, and
// whose content begins like what was read. It is nil where there is none.
func (ro *rotated) reopenPacked(tr *track, r record) *tail {
	if !ro.Compressed || r.print.n == 0 {
		return nil
	}
	stem := filepath.Base(tr.path)
	stem = strings.TrimSuffix(stem, filepath.Ext(stem))
	for id, name := range ro.list(tr) {
		if !compressed.IsName(name) || !strings.HasPrefix(filepath.Base(name), stem) || ro.tails[id] != nil {
			continue
		}
		t, err := openPacked(name)
		if err != nil {
			ro.Log.Warn("a compressed file is skipped", "path", name, "error", err, "remedy", "check that the file is complete, for example with gzip -t")
			continue
		}
		if r.print.fits(t.packed.Read(0, headSize)) {
			t.pos = r.pos
			ro.setLeft(t)
			return t
		}
		t.close()
	}
	return nil
}

// openPacked opens a compressed file; the position is its beginning.
func openPacked(name string) (*tail, error) {
	t, err := openTail(name)
	if err != nil {
		return nil, err
	}
	from, err := compressed.NewReader(t.file)
	if err != nil {
		t.file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.packed = &packed{Reader: from}
	head := t.packed.Read(0, headSize)
	copy(t.packed.head[:], head)
	t.print = fingerprintOf(head)
	return t, nil
}
