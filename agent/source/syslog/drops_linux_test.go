package syslog

import (
	"net"
	"testing"
)

func TestDropped(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := dropped(conn); n != 0 {
		t.Errorf("%d dropped of none", n)
	}
	c := dial(t, "udp", conn.LocalAddr().String())
	const sent = 2000
	for range sent { // nobody reads, and the system's buffer has 208 KiB
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := dropped(conn); n == 0 || n >= sent {
		t.Errorf("%d dropped of %d, want some", n, sent)
	}
}

func TestFindDrops(t *testing.T) {
	t.Parallel()
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1234: 0100007F:6234 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 70001 2 0000000000000000 17
 1235: 0100007F:6235 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7000
`
	if n, ok := findDrops([]byte(table), "70001"); n != 17 || !ok {
		t.Errorf("got %d, %v", n, ok)
	}
	if _, ok := findDrops([]byte(table), "7000"); ok {
		t.Error("half a line was taken")
	}
}
