package udp

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// IsRefused says that the peer's host has nobody listening, as learned by ICMP.
func IsRefused(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAECONNREFUSED) ||
		errors.Is(err, windows.WSAENETRESET) || errors.Is(err, syscall.ECONNREFUSED)
}

// IsTooLong says that the system never sends a datagram of that length.
func IsTooLong(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
