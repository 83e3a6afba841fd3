//go:build unix

package channel

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// uname is sysname, nodename, release, version and machine.
func uname() [5]string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		host, _ := os.Hostname()
		return [5]string{runtime.GOOS, host, "unknown", "unknown", runtime.GOARCH}
	}
	return [5]string{
		unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:]),
		unix.ByteSliceToString(u.Version[:]), unix.ByteSliceToString(u.Machine[:]),
	}
}
