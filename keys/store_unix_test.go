//go:build unix

package keys

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestWatchPipe: a pipe in the place of the file holds up neither the watch nor its end.
func TestWatchPipe(t *testing.T) {
	watch(t, one, func(w *watched) {
		if err := errors.Join(os.Remove(w.path), syscall.Mkfifo(w.path, 0o600)); err != nil {
			w.t.Fatal(err)
		}
		w.pass(time.Minute)
		w.want("001")
		w.logged("cannot be used", 1)
		if err := os.Remove(w.path); err != nil {
			w.t.Fatal(err)
		}
		w.write(one + two)
		w.pass(2 * time.Second)
		w.want("001 002", "001 002")
		w.logged("can be used again", 1)
	})
}
