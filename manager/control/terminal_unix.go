//go:build unix

package control

import (
	"os"

	"golang.org/x/sys/unix"
)

// heightOf is how many lines a terminal has.
func heightOf(f *os.File) int {
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 0 {
		return int(size.Row)
	}
	return 24
}
