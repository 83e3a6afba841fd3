package enroll

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Ten thousand idle connections, from a thousand addresses, do not keep an agent from its key.
func TestIdleConnectionsStopNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	connect := func(n int) net.Conn {
		t.Helper()
		from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}
		c, err := (&net.Dialer{LocalAddr: from, Timeout: 20 * time.Second}).Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for n := range 10_000 {
		idle = append(idle, connect(1+n%1000))
		if len(idle) == 2*maxOpen { // those before were put out
			for _, c := range idle[:maxOpen] {
				c.Close()
			}
			idle = idle[maxOpen:]
		}
		if n%1000 == 999 {
			conn := tls.Client(connect(5000), &tls.Config{InsecureSkipVerify: true})
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(conn, "OSSEC A:'web%d'\n", n)
			if answer, err := io.ReadAll(conn); !strings.HasPrefix(string(answer), "OSSEC K:'") {
				t.Errorf("beside %d idle connections: %q, %v", n+1, answer, err)
			}
			conn.Close()
		}
	}
}
