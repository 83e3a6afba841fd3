package listen

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// dropped finds the socket's line in the system's table by its inode; the last column counts drops (proc(5)).
func (c *udpConn) dropped() (uint64, bool) {
	var inode uint64
	if err := c.control(func(fd int) error {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		inode = st.Ino
		return err
	}); err != nil {
		return 0, false
	}
	table := "/proc/net/udp"
	if c.local.Addr().Is6() {
		table = "/proc/net/udp6"
	}
	text, err := os.ReadFile(table)
	if err != nil {
		return 0, false
	}
	return findDrops(text, inode)
}

func findDrops(table []byte, inode uint64) (uint64, bool) {
	want := strconv.FormatUint(inode, 10)
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < 13 || string(f[9]) != want {
			continue
		}
		n, err := strconv.ParseUint(string(f[len(f)-1]), 10, 64)
		return n, err == nil
	}
	return 0, false
}
