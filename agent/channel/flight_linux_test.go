package channel

import (
	"net"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system charges a socket that is not read no more than charge says.
func TestCharge(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		for n := 1; n < 40_000; n += n/8 + 1 {
			conn, err := net.ListenPacket("udp", network)
			if err != nil {
				t.Skipf("no %s here: %v", network, err)
			}
			to, err := net.Dial("udp", conn.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := to.Write(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			if got, most := charged(t, conn.(*net.UDPConn)), charge(n); got == 0 || uint64(got) > most {
				t.Errorf("%s: a datagram of %d bytes is charged with %d, want at most %d", network, n, got, most)
			}
			to.Close()
			conn.Close()
		}
	}
}

// charged is what a socket holds, as the system counts it.
func charged(t *testing.T, conn *net.UDPConn) (n uint32) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		var info [9]uint32 // SK_MEMINFO_RMEM_ALLOC is the first
		size := uint32(unsafe.Sizeof(info))
		if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
			t.Fatal(errno)
		}
		n = info[0]
	})
	return n
}
