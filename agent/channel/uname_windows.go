package channel

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/windows"
)

// uname is sysname, nodename, release, version and machine.
func uname() [5]string {
	host, _ := os.Hostname()
	v := windows.RtlGetVersion()
	return [5]string{
		"Windows", host, fmt.Sprintf("%d.%d", v.MajorVersion, v.MinorVersion), fmt.Sprintf("%d", v.BuildNumber), runtime.GOARCH,
	}
}
