package control

import (
	"os"

	"golang.org/x/sys/windows"
)

// heightOf is how many lines a terminal has.
func heightOf(f *os.File) int {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err == nil && info.Window.Bottom > info.Window.Top {
		return int(info.Window.Bottom-info.Window.Top) + 1
	}
	return 24
}
