//go:build unix

package testprogram

import (
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A program runs, whatever else is started while it is written.
func TestWrite(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					exec.Command("/bin/true").Run()
				}
			}
		})
	}
	path := filepath.Join(t.TempDir(), "program")
	for range 50 {
		Write(t, path, "#!/bin/sh\nexit 0\n")
		if err := exec.Command(path).Run(); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	all.Wait()
}
