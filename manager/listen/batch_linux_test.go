package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// What has come is read in order, at most a batch at once, each with its own bytes and sender.
func TestReadBatch(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		conns, err := listenFirst(address, listenOne, quiet) // one socket, so that order is certain
		if noFamily(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		closeConns(t, conns)
		c := conns[0].(*udpConn)
		host := netip.MustParseAddr("127.0.0.1")
		if address == "[::1]:0" {
			host = netip.MustParseAddr("::1")
		}
		u, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, c.local.Port())))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		var want, got []string
		for i := range BatchSize + 8 {
			text := fmt.Sprint("datagram ", i)
			if i == 5 {
				text = "" // an empty one is a datagram too
			}
			want = append(want, text)
			if _, err := u.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		var sizes []int
		for len(got) < len(want) {
			var ps [BatchSize]Datagram
			n, err := c.ReadBatch(ps[:])
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, n)
			for _, p := range ps[:n] {
				if from := u.LocalAddr().(*net.UDPAddr).AddrPort(); p.From != Unmap(from) {
					t.Errorf("%s: from %v, want %v", address, p.From, from)
				}
				if c.local.Addr().IsUnspecified() && p.To != host {
					t.Errorf("%s: to %v, want %v", address, p.To, host)
				}
				got = append(got, string(p.Data))
			}
		}
		// A full batch is followed by what there is, even nothing.
		for range BatchSize {
			if _, err := u.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int{BatchSize, 0} {
			if n, err := c.ReadBatch(make([]Datagram, BatchSize)); err != nil || n != want {
				t.Errorf("%s: %d read, %v, want %d", address, n, err, want)
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(sizes, []int{BatchSize, 8}) {
			t.Errorf("%s: read %q in batches of %v", address, got, sizes)
		}
	}
}

// Closing ends a read that waits, and one that begins later, and a socket is closed once.
func TestCloseEndsReading(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, 20 * time.Millisecond} {
		conns, err := Open("127.0.0.1:0", quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			ended := make(chan error, 1)
			go func() {
				_, _, _, err := c.ReadPacket(make([]byte, 10))
				ended <- err
			}()
			time.Sleep(wait) // it waits by then, as a rule
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("the read ended with %v", err)
			}
			if err := c.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed again: %v", err)
			}
			if err := c.WritePacket([]byte("x"), c.LocalAddr(), netip.Addr{}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("written to after it was closed: %v", err)
			}
		}
	}
}
