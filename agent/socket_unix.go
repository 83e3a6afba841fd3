//go:build unix

package agent

import (
	"errors"
	"syscall"
)

// isRefused says that the peer's host has nobody listening, as learned by ICMP.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// isTooLong says that the system never sends a datagram of that length.
func isTooLong(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }
