//go:build !windows

package eventlog

import (
	"errors"
	"runtime"
)

var errNoEventLog = errors.New("eventlog: only Windows has an Event Log, and this is " + runtime.GOOS + "; follow files (type file) or the journal (type journald)")

func checkEventLog() error { return errNoEventLog }

func openChannel(*Config, string, string) (channel, error) { return nil, errNoEventLog }
