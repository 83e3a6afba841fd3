package socket

import "errors"

func supported() error {
	return errors.New("type: Windows has no unix datagram sockets, so there is no local queue; follow the logs with type file")
}
