//go:build unix

package manager

import (
	"os"
	"syscall"
)

// hangup is what asks a daemon to read its files anew.
var hangup = []os.Signal{syscall.SIGHUP}
