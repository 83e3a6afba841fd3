package socket

import (
	"errors"
	"net"
)

func supported() error {
	return errors.New("type: Windows has no unix datagram sockets, so there is no local queue; follow the logs with type file")
}

func listen(string) (*net.UnixConn, func(), error) { return nil, nil, supported() }

// InUse is never an error.
func InUse(string) error { return nil }
