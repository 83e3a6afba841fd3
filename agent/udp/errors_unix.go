//go:build unix

package udp

import (
	"errors"
	"syscall"
)

// IsRefused says that the peer's host has nobody listening, as learned by ICMP.
func IsRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// IsTooLong says that the system never sends a datagram of that length.
func IsTooLong(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }
