package syslog

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"syscall"
)

// dropped is how many datagrams found the socket's buffer full since it was opened, by the system's table (proc(5)), or
// 0 where that does not tell.
func dropped(conn *net.UDPConn) uint64 {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	var inode uint64
	if raw.Control(func(fd uintptr) {
		var st syscall.Stat_t
		if syscall.Fstat(int(fd), &st) == nil {
			inode = st.Ino
		}
	}) != nil || inode == 0 {
		return 0
	}
	for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		text, _ := os.ReadFile(table)
		if n, ok := findDrops(text, strconv.FormatUint(inode, 10)); ok {
			return n
		}
	}
	return 0
}

// findDrops finds a socket's line by its inode; the last column counts drops.
func findDrops(table []byte, inode string) (uint64, bool) {
	for line := range bytes.Lines(table) {
		if f := bytes.Fields(line); len(f) >= 13 && string(f[9]) == inode {
			n, err := strconv.ParseUint(string(f[len(f)-1]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
