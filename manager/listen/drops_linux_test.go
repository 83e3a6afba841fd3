package listen

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDropsAreSeen(t *testing.T) {
	t.Parallel()
	conns, err := Open("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	closeConns(t, conns)
	c := conns[0].(*udpConn)
	n, ok := c.dropped()
	for range 100 { // the table can miss a line while others come and go; look asks again later, too
		if ok {
			break
		}
		n, ok = c.dropped()
	}
	if n != 0 || !ok {
		t.Fatalf("before anything came: %d, %v", n, ok)
	}
	for _, conn := range conns {
		shrink := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }
		if err := conn.(*udpConn).control(shrink); err != nil {
			t.Fatal(err)
		}
	}
	u, err := net.Dial("udp", c.local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	const sent = 500
	for range sent {
		if _, err := u.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	var logs bytes.Buffer
	d := drops{log: slog.New(slog.NewTextHandler(&logs, nil)), conns: conns}
	for range 100 {
		d.look()
	}
	if d.told == 0 || d.told >= sent || strings.Count(logs.String(), "dropped") != 1 {
		t.Errorf("%d of %d dropped; logged %s", d.told, sent, logs.String())
	}
}
