// Package compressed reads log files that were rotated and compressed.
package compressed

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Reader reads what a compressed file holds. It goes forward only: what was read and is not done with waits in memory.
type Reader struct {
	from   io.ReadCloser
	begin  int64 // where waiting begins, in the unpacked file
	ended  bool
	failed error // that ended it

	waiting []byte
}

// maxWindow bounds the memory that a compressed file may ask for.
const maxWindow = 64 << 20

// IsName says whether a name is that of a compressed file.
func IsName(name string) bool { return CutEnding(name) != name }

// CutEnding is a name without the ending of a compressed file.
func CutEnding(name string) string {
	for _, ending := range []string{".gz", ".zst"} {
		if plain, ok := strings.CutSuffix(name, ending); ok {
			return plain
		}
	}
	return name
}

// NewReader reads a compressed file from its beginning.
func NewReader(f *os.File) (*Reader, error) {
	from, err := open(f)
	if err != nil {
		return nil, err
	}
	return &Reader{from: from}, nil
}

func open(f *os.File) (io.ReadCloser, error) {
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

// Read is what follows a position, at most n bytes; fewer only at the end. It goes back no further than to the position of the
// call before.
func (r *Reader) Read(from int64, n int) []byte {
	if drop := from - r.begin; drop > int64(len(r.waiting)) {
		if _, err := io.CopyN(io.Discard, r.from, drop-int64(len(r.waiting))); err != nil {
			r.end(err)
		}
		r.waiting = r.waiting[:0]
	} else {
		r.waiting = r.waiting[:copy(r.waiting, r.waiting[drop:])]
	}
	r.begin = from
	r.waiting = slices.Grow(r.waiting, max(n-len(r.waiting), 0))
	for len(r.waiting) < n && !r.ended {
		had := len(r.waiting)
		got, err := r.from.Read(r.waiting[had:n])
		r.waiting = r.waiting[:had+got]
		if err != nil {
			r.end(err)
		}
	}
	return r.waiting
}

// end notes that nothing more is to be had.
func (r *Reader) end(err error) {
	r.ended = true
	if !errors.Is(err, io.EOF) {
		r.failed = err
	}
}

// Ended says that nothing more is to be had than what Read gave.
func (r *Reader) Ended() bool { return r.ended }

// Failure gives the error that ended it, once; nil where the file was whole.
func (r *Reader) Failure() error {
	err := r.failed
	r.failed = nil
	return err
}

// Close leaves the file itself open.
func (r *Reader) Close() { r.from.Close() }
