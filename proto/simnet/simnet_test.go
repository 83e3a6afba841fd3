package simnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var server = netip.MustParseAddrPort("198.51.100.1:1514")

func listen(t *testing.T, n *Network, at netip.AddrPort) *Endpoint {
	t.Helper()
	e, err := n.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func dial(t *testing.T, n *Network, address string) net.Conn {
	t.Helper()
	c, err := n.Dial(context.Background(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drain reads what an endpoint has until it is closed.
func drain(e *Endpoint) <-chan string {
	all := make(chan string, 1)
	go func() {
		var b strings.Builder
		buf := make([]byte, 2000)
		for {
			k, _, _, err := e.ReadPacket(buf)
			if err != nil {
				all <- b.String()
				return
			}
			fmt.Fprintf(&b, "%s ", buf[:k])
		}
	}()
	return all
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Conditions{Delay: 10 * time.Millisecond})
		e := listen(t, n, netip.MustParseAddrPort("0.0.0.0:1514"))
		c := dial(t, n, server.String())
		began := time.Now()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		k, from, to, err := e.ReadPacket(buf)
		if string(buf[:k]) != "hello" || from.String() != c.LocalAddr().String() || to != server.Addr() || err != nil {
			t.Errorf("%q from %v to %v, %v", buf[:k], from, to, err)
		}
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		for _, source := range []netip.Addr{to, {}} { // a connected socket takes nothing from elsewhere
			if err := e.WritePacket([]byte("answer"), from, source); err != nil {
				t.Fatal(err)
			}
		}
		k, err = c.Read(buf[:3])
		if string(buf[:k]) != "ans" || err != nil {
			t.Errorf("%q, %v", buf[:k], err)
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		c.SetReadDeadline(time.Time{})
		if d := dial(t, n, server.String()); d.LocalAddr().String() == c.LocalAddr().String() {
			t.Error("two sockets have one port")
		}
		time.AfterFunc(time.Second, func() { c.Close() })
		if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		e.Close()
	})
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Conditions{})
		c := dial(t, n, server.String())
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Read: %v", err)
		}
		c.Write([]byte("x"))
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Write: %v", err)
		}
		n.Cut(server.Addr())
		c.Write([]byte("x"))
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read from a host that is cut off: %v", err)
		}
		n.Heal(server.Addr())
		e := listen(t, n, server)
		if _, err := n.Listen(server); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Listen: %v", err)
		}
		c.Write([]byte("y"))
		buf := make([]byte, 1)
		if _, _, _, err := e.ReadPacket(buf); err != nil || buf[0] != 'y' {
			t.Errorf("%q, %v", buf, err)
		}
		if _, err := c.Write(make([]byte, 65_508)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := New(1, Conditions{})
	var dns *net.DNSError
	if _, err := n.Dial(t.Context(), "udp", "mgr:1514"); !errors.As(err, &dns) {
		t.Errorf("Dial: %v", err)
	}
	n.SetName("mgr", netip.MustParseAddr("2001:db8::5"), server.Addr())
	for network, want := range map[string]string{"udp": "[2001:db8::5]:1514", "udp4": server.String(), "udp6": "[2001:db8::5]:1514"} {
		c, err := n.Dial(t.Context(), network, "mgr:1514")
		if err != nil || c.RemoteAddr().String() != want {
			t.Errorf("%s: %v, %v", network, c, err)
		}
	}
	c, err := n.DialFrom(netip.MustParseAddr("10.9.8.7"))(t.Context(), "udp", "mgr:1514")
	if err != nil || !strings.HasPrefix(c.LocalAddr().String(), "10.9.8.7:") || c.RemoteAddr().String() != server.String() {
		t.Errorf("from 10.9.8.7: %v, %v", c, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Dial(ctx, "udp", "mgr:1514"); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
}

// run sends n numbered datagrams and returns what arrived.
func run(t *testing.T, seed uint64, c Conditions, count int) (got string) {
	synctest.Test(t, func(t *testing.T) {
		n := New(seed, c)
		e := listen(t, n, server)
		all := drain(e)
		conn := dial(t, n, server.String())
		for i := range count {
			fmt.Fprintf(conn, "%d", i)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		conn.Close()
		e.Close()
		got = <-all
	})
	return got
}

func TestConditions(t *testing.T) {
	t.Parallel()
	ordered := run(t, 1, Conditions{Delay: 7 * time.Millisecond}, 1000)
	for i, f := range strings.Fields(ordered) {
		if f != fmt.Sprint(i) {
			t.Fatalf("%q came as number %d", f, i)
		}
	}
	lossy := strings.Fields(run(t, 1, Conditions{Loss: 0.1}, 1000))
	if len(lossy) < 860 || len(lossy) > 940 {
		t.Errorf("%d of 1000 came with 10 %% loss", len(lossy))
	}
	repeated := strings.Fields(run(t, 1, Conditions{Repeat: 0.1}, 1000))
	if len(repeated) < 1060 || len(repeated) > 1140 {
		t.Errorf("%d of 1000 came with 10 %% repeats", len(repeated))
	}
	if got := run(t, 1, Conditions{Reorder: 0.1}, 1000); got == ordered || len(strings.Fields(got)) != 1000 {
		t.Error("nothing was reordered, or something lost")
	}
	all := Conditions{Loss: 0.1, Repeat: 0.1, Reorder: 0.1, Delay: time.Millisecond, Jitter: 5 * time.Millisecond}
	first := run(t, 3, all, 500)
	if again := run(t, 3, all, 500); again != first {
		t.Error("one seed, two outcomes")
	}
	if run(t, 4, all, 500) == first {
		t.Error("two seeds, one outcome")
	}
}

func TestFullBufferDrops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Conditions{})
		e := listen(t, n, server)
		c := dial(t, n, server.String())
		for range 1000 {
			c.Write(make([]byte, 200))
		}
		if want := 1000 - bufferSize/(200+perPacket); n.Dropped() != want {
			t.Errorf("%d dropped, want %d", n.Dropped(), want)
		}
		e.Close()
	})
}

// A deadline that is moved at the very moment when it passes does not pass a second time.
func TestDeadlineMovedAsItPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		for range 2000 {
			d.set(time.Now().Add(time.Second))
			time.Sleep(time.Second)
			d.set(time.Now().Add(time.Hour))
			synctest.Wait()
			if isClosed(d.passed()) {
				t.Fatal("an hour has passed at once")
			}
		}
		d.set(time.Time{})
	})
}
