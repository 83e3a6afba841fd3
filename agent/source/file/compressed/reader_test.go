package compressed

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// written is a file of that name with this text, compressed, without its last bytes.
func written(t *testing.T, name, text string, cut int) *os.File {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if strings.HasSuffix(name, ".zst") {
		w, _ = zstd.NewWriter(&b)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes()[:b.Len()-cut], 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What is not done with comes again, and what is passed over does not.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.log.gz", "a.log.zst"} {
		r, err := NewReader(written(t, name, "0123456789", 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, read := range []struct {
			from  int64
			n     int
			want  string
			ended bool
		}{{0, 4, "0123", false}, {0, 4, "0123", false}, {2, 4, "2345", false}, {7, 2, "78", false}, {8, 4, "89", true}, {10, 4, "", true}} {
			if got := string(r.Read(read.from, read.n)); got != read.want || r.Ended() != read.ended {
				t.Errorf("%s: %d bytes from %d: %q, ended: %v; want %q, %v", name, read.n, read.from, got, r.Ended(), read.want, read.ended)
			}
		}
		if err := r.Failure(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
}

// A file that is cut off gives what it has, and says once that it is damaged.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.log.gz", "a.log.zst"} {
		r, err := NewReader(written(t, name, "0123456789", 2))
		if err != nil {
			t.Fatal(err)
		}
		got := string(r.Read(0, 20))
		if !strings.HasPrefix("0123456789", got) || !r.Ended() {
			t.Errorf("%s: %q, ended: %v", name, got, r.Ended())
		}
		if first, second := r.Failure(), r.Failure(); first == nil || second != nil {
			t.Errorf("%s: %v, then %v", name, first, second)
		}
		r.Close()
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a.log.1.gz": "a.log.1", "a.zst": "a", "a.log": "a.log", "gz": "gz"} {
		if got := CutEnding(name); got != want || IsName(name) != (name != want) {
			t.Errorf("%s: %q, compressed: %v", name, got, IsName(name))
		}
	}
}
