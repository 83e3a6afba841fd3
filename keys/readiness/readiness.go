// Package readiness tells a service manager, systemd, how this process is (sd_notify(3)).
package readiness

import (
	"context"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Announce says that the process does its work now, and, once ctx has ended, that it is stopping. Without a service manager that asks for
// this it does nothing.
func Announce(ctx context.Context) {
	daemon.SdNotify(false, daemon.SdNotifyReady)
	context.AfterFunc(ctx, func() { daemon.SdNotify(false, daemon.SdNotifyStopping) })
}
