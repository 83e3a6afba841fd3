package sendtest

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"ossecd/proto"
)

// streamed serves each connection to a port on loopback.
func streamed(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// bridge passes what comes over TCP on to a scripted manager as datagrams, and back.
func bridge(to string) func(net.Conn) {
	return func(conn net.Conn) {
		udp, err := net.Dial("udp", strings.TrimPrefix(to, "udp://"))
		if err != nil {
			return
		}
		var back sync.WaitGroup
		defer back.Wait()
		defer udp.Close()
		back.Go(func() {
			buf := make([]byte, proto.MaxPacket)
			for {
				n, err := udp.Read(buf)
				if err != nil {
					return
				}
				conn.Write(proto.AppendPacket(nil, buf[:n]))
			}
		})
		var have []byte
		buf := make([]byte, 1000)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			have = append(have, buf[:n]...)
			for {
				packet, rest, _, err := proto.CutPacket(have)
				if err != nil {
					return
				}
				if packet == nil {
					break
				}
				udp.Write(packet)
				have = append(have[:0], rest...)
			}
		}
	}
}

func TestOnceOverTCP(t *testing.T) {
	t.Parallel()
	m := startManager(t, testLine, acks)
	addr := streamed(t, bridge(m.addr))
	for _, args := range [][]string{{"--manager", "tcp://" + addr}, {"--manager", addr, "--dialect", "wazuh", "--crypto", "aes"}} {
		out, _, err := run(t, testLine, append(args, "--timeout", "5s", "hello")...)
		if err != nil || !strings.Contains(out, ", over TCP") || !strings.Contains(out, "done ") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

func TestFailuresOverTCPAreExplained(t *testing.T) {
	t.Parallel()
	udpOnly := startManager(t, testLine, acks)
	silent := startManager(t, testLine, func(*scripted, netip.AddrPort, proto.Message) {})
	closing := streamed(t, func(conn net.Conn) { conn.Read(make([]byte, 100)) })
	web := streamed(t, func(conn net.Conn) {
		conn.Read(make([]byte, 100))
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	quiet := streamed(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	tests := []struct{ name, manager, want, never string }{
		{"UDP only", strings.Replace(udpOnly.addr, "udp", "tcp", 1), "answers this agent over UDP, and not over TCP", ""},
		{"nothing on TCP", strings.Replace(silent.addr, "udp", "tcp", 1), "nothing listens on 127.0.0.1", "over UDP, and not"},
		{"closes", "tcp://" + closing, "Key: ID, NAME or KEY differ", "tcpdump"},
		{"a web server", "tcp://" + web, "Proxy:", "tcpdump"},
		{"silence", "tcp://" + quiet, "tcpdump -ni any tcp", ""},
		{"TCP only", "udp://" + quiet, "--dialect wazuh", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, _, err := run(t, testLine, "--manager", tt.manager, "--timeout", "1s")
			if err == nil || !strings.Contains(out, tt.want) || tt.never != "" && strings.Contains(out, tt.never) {
				t.Errorf("%v: want %q and not %q in\n%s", err, tt.want, tt.never, out)
			}
		})
	}
}

// Over TCP each agent of a load has a connection of its own.
func TestLoadOverTCP(t *testing.T) {
	t.Parallel()
	lines := "001 web1 any key1\n002 web2 any key2\n003 web3 any key3\n"
	m := startManager(t, lines, acks)
	addr := streamed(t, bridge(m.addr))
	out, _, err := run(t, lines, "--manager", "tcp://"+addr, "--agents", "3", "--count", "90", "--timeout", "5s")
	if err != nil || !strings.Contains(out, "sent 90 events of 3 agents") {
		t.Fatalf("%v\n%s", err, out)
	}
	events := 0
	from := map[string]netip.AddrPort{}
	for _, a := range m.arrivals() {
		if at, known := from[a.id]; known && at != a.from {
			t.Errorf("agent %s speaks from %v and %v", a.id, at, a.from)
		}
		from[a.id] = a.from
		if !proto.IsControl([]byte(a.text)) {
			events++
		}
	}
	if events != 90 || len(from) != 3 {
		t.Errorf("%d events of %d agents", events, len(from))
	}
}
