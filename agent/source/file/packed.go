package file

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packed reads a file that was rotated and compressed while the agent was down. It goes forward only: what was read and is not
// sent yet waits in memory.
type packed struct {
	from   io.ReadCloser
	head   [4]byte // the first bytes of the unpacked file
	begin  int64   // where waiting begins, in the unpacked file
	ended  bool
	failed error // that ended it

	waiting []byte
}

// maxWindow bounds the memory that a compressed file may ask for.
const maxWindow = 64 << 20

// packedName says whether a name is that of a compressed file.
func packedName(name string) bool { return unpackedName(name) != name }

// unpackedName is a name without the ending of a compressed file.
func unpackedName(name string) string {
	for _, ending := range []string{".gz", ".zst"} {
		if plain, ok := strings.CutSuffix(name, ending); ok {
			return plain
		}
	}
	return name
}

// unpack reads a compressed file from its beginning.
func unpack(f *os.File) (io.ReadCloser, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if strings.HasSuffix(f.Name(), ".gz") {
		return gzip.NewReader(f)
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// read is what follows a position, at most n bytes; fewer only at the end. It goes back no further than to the position of the
// call before.
func (p *packed) read(from int64, n int) []byte {
	if drop := from - p.begin; drop > int64(len(p.waiting)) {
		if _, err := io.CopyN(io.Discard, p.from, drop-int64(len(p.waiting))); err != nil {
			p.end(err)
		}
		p.waiting = p.waiting[:0]
	} else {
		p.waiting = p.waiting[:copy(p.waiting, p.waiting[drop:])]
	}
	p.begin = from
	p.waiting = slices.Grow(p.waiting, max(n-len(p.waiting), 0))
	for len(p.waiting) < n && !p.ended {
		had := len(p.waiting)
		got, err := p.from.Read(p.waiting[had:n])
		p.waiting = p.waiting[:had+got]
		if err != nil {
			p.end(err)
		}
	}
	return p.waiting
}

// end notes that nothing more is to be had.
func (p *packed) end(err error) {
	p.ended = true
	if !errors.Is(err, io.EOF) {
		p.failed = err
	}
}

// readPacked is read for a compressed file. At its end nothing is left: its last line is sent with or without a newline. The
// error, if there is one, comes once all before it was read.
func (t *tail) readPacked(room int, b *batch) error {
	p := t.packed
	t.settle(p.head[:], math.MaxInt64)
	data := p.read(t.pos.off, room)
	t.split(data, b)
	switch {
	case len(b.events) > 0 || !p.ended:
	case len(data) > 0:
		newline := 0
		if t.rest == t.lines {
			newline = t.form.coding.unit()
		}
		b.add(t.form, t.track.location, data[:len(data)-newline], t.pos, newline)
		t.rest, t.lines = 0, 0
	case p.failed != nil:
		err := p.failed
		p.failed = nil
		return err
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
		if !packedName(name) || !strings.HasPrefix(filepath.Base(name), stem) || ro.tails[id] != nil {
			continue
		}
		t, err := openPacked(name)
		if err != nil {
			ro.Log.Warn("a compressed file is skipped", "path", name, "error", err, "remedy", "check that the file is complete, for example with gzip -t")
			continue
		}
		if r.print.fits(t.packed.read(0, headSize)) {
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
	from, err := unpack(t.file)
	if err != nil {
		t.file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.packed = &packed{from: from}
	head := t.packed.read(0, headSize)
	copy(t.packed.head[:], head)
	t.print = fingerprintOf(head)
	return t, nil
}
