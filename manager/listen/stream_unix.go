//go:build unix

package listen

import (
	"io"

	"golang.org/x/sys/unix"
)

// canReadRaw says that a connection can be read and written without waiting.
const canReadRaw = true

// tryFirst reads the first bytes of a packet, if they have come, and says whether that is done.
func (s *Stream) tryFirst(fd uintptr) bool {
	for {
		n, err := unix.Read(int(fd), s.first)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err == nil && n == 0:
			err = io.EOF
		}
		s.heard, s.err = max(n, 0), err
		return true
	}
}

// read reads what has come, and does not wait.
func (s *Stream) read(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	failed := s.raw.Control(func(fd uintptr) {
		for {
			if n, err = unix.Read(int(fd), p); err != unix.EINTR {
				break
			}
		}
	})
	switch {
	case failed != nil:
		return 0, failed
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// write writes what there is room for. s.mu is held.
func (s *Stream) write(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	failed := s.raw.Control(func(fd uintptr) {
		for {
			if n, err = unix.Write(int(fd), p); err != unix.EINTR {
				break
			}
		}
	})
	switch {
	case failed != nil:
		return 0, failed
	case err == unix.EAGAIN:
		return 0, nil
	}
	return max(n, 0), err
}
