//go:build linux || darwin || freebsd

package keys

import (
	"os"

	"golang.org/x/sys/unix"
)

var mapFile mapper = func(f *os.File, at int64, size int) ([]byte, func() error, error) {
	mem, err := unix.Mmap(int(f.Fd()), at, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return mem, func() error { return os.NewSyscallError("munmap", unix.Munmap(mem)) }, nil
}
