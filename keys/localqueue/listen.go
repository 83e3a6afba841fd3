package localqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"ossecd/keys/durable"
)

// listen makes the socket. What an earlier process left behind is replaced; a socket that is being read is not.
func listen(path string) (*held, error) {
	if err := clearStale(path); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("%w; check that its directory is there and writable for this user", err)
	}
	conn.SetReadBuffer(1 << 20) // what the system allows; as it is, is fine, too
	if err := durable.OpenToGroup(path); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w; make its directory writable for this user", err)
	}
	file, err := os.Lstat(path)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w; it was removed at once", err)
	}
	return &held{conn, path, file}, nil
}

// held is a socket that we made.
type held struct {
	conn *net.UnixConn
	path string
	file os.FileInfo
}

// named says that the path still leads to it.
func (h *held) named() bool {
	now, err := os.Lstat(h.path)
	return err == nil && os.SameFile(h.file, now)
}

// end closes it, and removes it unless another has taken its place.
func (h *held) end() {
	h.conn.Close()
	if h.named() {
		os.Remove(h.path)
	}
}

// InUse says who reads a socket, if anybody does.
func InUse(path string) error {
	if !isRead(path) {
		return nil
	}
	name, _ := holder(path)
	return inUse(path, name)
}

// taken says who reads the socket at our path, which leads to ours no more.
func taken(path string) error {
	if !isRead(path) {
		return nil
	}
	name, ours := holder(path)
	if ours { // that one lost the path
		name = unknown
	}
	return inUse(path, name)
}

func isRead(path string) bool {
	probe, err := dial(path)
	if err != nil {
		return false
	}
	probe.Close()
	return true
}

func dial(path string) (*net.UnixConn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
}

func inUse(path, by string) error {
	return fmt.Errorf("%s is in use by %s; stop it first, it is likely the stock daemon", path, by)
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
		return fmt.Errorf("%s is not a socket; move it away, or name another path", path)
	}
	probe, err := dial(path)
	if err == nil {
		probe.Close()
		return InUse(path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("is %s in use? %w; remove it if not", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("a socket was left behind by an earlier process: %w; remove it", err)
	}
	return nil
}
