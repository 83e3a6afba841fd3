package file

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// pack compresses a file as a rotating program does, and keeps its time.
func (r *rig) pack(name, ending string) {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	r.must(err)
	info, err := os.Stat(r.path(name))
	r.must(err)
	f, err := os.Create(r.path(name + ending))
	r.must(err)
	var w io.WriteCloser = gzip.NewWriter(f)
	if ending == ".zst" {
		w, err = zstd.NewWriter(f)
		r.must(err)
	}
	_, err = w.Write(data)
	r.must(err)
	r.must(w.Close())
	r.must(f.Close())
	r.must(os.Chtimes(r.path(name+ending), info.ModTime(), info.ModTime()))
	r.must(os.Remove(r.path(name)))
}

func numbered(from, to int) (text string, list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%97)))
	}
	return strings.Join(list, "\n") + "\n", list
}

// What was rotated and compressed while the agent was down is read on where it stopped, then what was rotated later.
func TestCompressedWhileAway(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{".gz", ".zst"} {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "app.log*")
			r.cfg.Compressed = true
			r.start()
			text, all := numbered(1, 3000)
			r.append("app.log", text)
			r.want(r.path("app.log"), all...)
			r.stop()

			for i, from := range []int{3001, 6001} {
				text, list := numbered(from, from+2999)
				r.append("app.log", text)
				if i == 1 {
					later := time.Now().Add(time.Minute)
					r.must(os.Chtimes(r.path("app.log"), later, later))
				}
				all = append(all, list...)
				if i == 0 {
					r.rename("app.log", "app.log.2")
					r.pack("app.log.2", ending)
				} else {
					r.rename("app.log", "app.log.1")
					r.pack("app.log.1", ending)
				}
			}
			r.append("app.log", "now\n")
			all = append(all, "now")
			r.start()
			r.want(r.path("app.log"), all...)
			r.stop()
			r.start()
			r.append("app.log", "then\n")
			r.want(r.path("app.log"), append(all, "then")...)
			if n := len(r.lines(r.path("app.log.1" + ending))); n != 0 {
				t.Errorf("%d lines of the compressed file itself", n)
			}
		})
	}
}

// A copy that was truncated and compressed, and one that is damaged.
func TestCompressedCopies(t *testing.T) {
	t.Parallel()
	r := newRig(t, "app.log")
	r.cfg.Compressed = true
	r.start()
	r.append("app.log", "one\n")
	r.want(r.path("app.log"), "one")
	r.stop()
	r.append("app.log", "two\n")
	r.must(os.WriteFile(r.path("app.log.1"), []byte("one\ntwo\nthree"), 0o600))
	r.pack("app.log.1", ".gz")
	r.must(os.WriteFile(r.path("app.log.3.gz"), []byte("no such thing"), 0o600))
	r.must(os.Truncate(r.path("app.log"), 0))
	r.append("app.log", "x\n")
	r.start()
	r.want(r.path("app.log"), "one", "two", "three", "x")
	r.stop()

	text, list := numbered(1, 5000)
	r.append("app.log", text)
	r.rename("app.log", "app.log.2")
	r.pack("app.log.2", ".gz")
	data, err := os.ReadFile(r.path("app.log.2.gz"))
	r.must(err)
	r.must(os.WriteFile(r.path("app.log.2.gz"), data[:len(data)*2/3], 0o600))
	r.append("app.log", "last\n")
	r.start()
	r.wait(t, "the new file", func() bool {
		got := r.lines(r.path("app.log"))
		return got[len(got)-1] == "last"
	})
	r.log.wait(t, "a compressed file is damaged")
	if n := len(r.lines(r.path("app.log"))); n < 1000 || n > 4+len(list) {
		t.Errorf("%d lines", n)
	}
}
