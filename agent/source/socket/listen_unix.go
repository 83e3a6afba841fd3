//go:build unix

package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"ossecd/keys/durable"
)

func supported() error { return nil }

// listen makes the socket. What an earlier process left behind is replaced; a socket that is being read is not. remove
// removes the socket, unless another has taken its place.
func listen(path string) (conn *net.UnixConn, remove func(), err error) {
	if err := clearStale(path); err != nil {
		return nil, nil, err
	}
	conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, nil, fmt.Errorf("%w; see that its directory is there and writable for this user", err)
	}
	conn.SetReadBuffer(1 << 20) // what the system allows; as it is, is fine, too
	if err := durable.OpenToGroup(path); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("%w; make its directory writable for this user", err)
	}
	own, err := os.Lstat(path)
	remove = func() {
		if now, e := os.Lstat(path); err == nil && e == nil && os.SameFile(own, now) {
			os.Remove(path)
		}
	}
	return conn, remove, nil
}

// InUse says who reads a socket, if anybody does.
func InUse(path string) error {
	probe, err := dial(path)
	if err != nil {
		return nil
	}
	probe.Close()
	return inUse(path)
}

func dial(path string) (*net.UnixConn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
}

func inUse(path string) error {
	return fmt.Errorf("%s is in use by %s; stop it first, it is likely the stock agent daemon", path, holder(path))
}

// clearStale removes a socket that nobody reads.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w; let this user reach it", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket; move it away, or name another path", path)
	}
	probe, err := dial(path)
	if err == nil {
		probe.Close()
		return inUse(path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("is %s in use? %w; remove it if not", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("a socket was left behind by an earlier process: %w; remove it", err)
	}
	return nil
}
