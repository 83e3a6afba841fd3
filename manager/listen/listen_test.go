package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func closeConns(t *testing.T, conns []PacketConn) {
	t.Cleanup(func() { CloseAll(conns) })
}

func TestListenOnAPortInUse(t *testing.T) {
	t.Parallel()
	ours, err := Open("127.0.0.1:0", quiet) // shares its port among its own sockets
	if err != nil {
		t.Fatal(err)
	}
	closeConns(t, ours)
	addr := ours[0].LocalAddr().String()
	if conns, err := Open(addr, quiet); err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
		CloseAll(conns)
	}
	_, port, _ := net.SplitHostPort(addr)
	if conns, err := Open(":"+port, quiet); err == nil {
		t.Error("a wildcard address was taken beside a holder of its port")
		CloseAll(conns)
	}
}

// All sockets of an address take datagrams of the families that it stands for, and of no other.
func TestListenFamilies(t *testing.T) {
	t.Parallel()
	if conns, err := Open("[::1]:0", quiet); err != nil {
		t.Skip("needs IPv6: ", err)
	} else {
		CloseAll(conns)
	}
	for _, tt := range []struct {
		address      string
		want4, want6 bool
	}{{"0.0.0.0:0", true, false}, {"127.0.0.1:0", true, false}, {"[::]:0", true, true}, {"[::1]:0", false, true}, {":0", true, true}} {
		conns, err := Open(tt.address, quiet)
		if err != nil {
			t.Fatal(err)
		}
		closeConns(t, conns)
		var got4, got6 [maxReceivers * 2]atomic.Int32
		for i, c := range conns {
			go func() {
				b := make([]byte, 100)
				for {
					_, from, _, err := c.ReadPacket(b)
					if err != nil {
						return
					}
					if from.Addr().Is4() {
						got4[i].Add(1)
					} else {
						got6[i].Add(1)
					}
				}
			}()
		}
		port := conns[0].LocalAddr().Port()
		reached := func(target string, got *[maxReceivers * 2]atomic.Int32, want int) (n int) {
			for range 200 { // sources enough for each socket to be chosen
				u, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(target), port)))
				if err != nil {
					t.Fatal(err)
				}
				u.Write([]byte("x"))
				u.Close()
			}
			count := func() (n int) {
				for i := range got {
					if got[i].Load() > 0 {
						n++
					}
				}
				return n
			}
			time.Sleep(50 * time.Millisecond) // for one too many to show
			for deadline := time.Now().Add(10 * time.Second); count() < want && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			return count()
		}
		each := 1
		if runtime.GOOS == "linux" {
			each = receiversPerAddress()
		}
		for _, f := range []struct {
			target string
			want   bool
			got    *[maxReceivers * 2]atomic.Int32
		}{{"127.0.0.1", tt.want4, &got4}, {"::1", tt.want6, &got6}} {
			want := 0
			if f.want {
				want = each
			}
			if n := reached(f.target, f.got, want); n != want {
				t.Errorf("%s: datagrams to %s came out of %d sockets, want %d", tt.address, f.target, n, want)
			}
		}
	}
}

func TestListenFaults(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"nonsense", "192.0.2.1:1514", "no-such-host.invalid:1514", "127.0.0.1:99999"} {
		if conns, err := Open(address, quiet); err == nil || !strings.Contains(err.Error(), strings.Split(address, ":")[0]) {
			t.Errorf("%s: %v", address, err)
			CloseAll(conns)
		}
	}
}

// An answer leaves from the address that the agent wrote to, on a host that has several.
func TestAnswerLeavesFromWhereItWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs all of 127.0.0.0/8 on the loopback interface")
	}
	t.Parallel()
	conns, err := Open(":0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	closeConns(t, conns)
	port := conns[0].LocalAddr().Port()
	families := map[bool]bool{}
	for _, c := range conns {
		families[c.LocalAddr().Addr().Is4()] = true
		if c.LocalAddr().Port() != port {
			t.Errorf("listening on %v and port %d", c.LocalAddr(), port)
		}
		go func() {
			b := make([]byte, 100)
			for {
				n, from, to, err := c.ReadPacket(b)
				if err != nil {
					return
				}
				c.WritePacket(append(b[:n:n], " answered"...), from, to)
			}
		}()
	}
	targets := []string{"127.0.0.1", "127.0.0.7", "127.1.2.3"}
	if families[false] {
		targets = append(targets, "::1")
	}
	for _, target := range targets {
		u, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(target), port)))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		u.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := u.Write([]byte("asked")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := u.Read(b) // a connected socket hears nobody else
		if err != nil || string(b[:n]) != "asked answered" {
			t.Errorf("%s: %q, %v", target, b[:n], err)
		}
	}
}

// A host without one family of addresses is listened on with the other; without the address that is asked for, or
// without both families, the error says what to do.
func TestListenWithoutAFamily(t *testing.T) {
	t.Parallel()
	without := func(lacking ...string) func(string, string, *slog.Logger) (*udpConn, error) {
		return func(network, address string, log *slog.Logger) (*udpConn, error) {
			if slices.Contains(lacking, network) {
				return nil, fmt.Errorf("listen on %s: %w", address, syscall.EAFNOSUPPORT)
			}
			return listenOne(network, address, log)
		}
	}
	for _, tt := range []struct {
		lacking []string
		is4     bool
	}{{[]string{"udp6"}, true}, {[]string{"udp4"}, false}} {
		conns, err := listenFirst(":0", without(tt.lacking...), quiet)
		if err != nil {
			if !tt.is4 && noFamily(err) {
				continue // this host is such a one
			}
			t.Fatalf("without %v: %v", tt.lacking, err)
		}
		closeConns(t, conns)
		if len(conns) != 1 || conns[0].LocalAddr().Addr().Is4() != tt.is4 {
			t.Errorf("without %v: %d sockets, the first on %v", tt.lacking, len(conns), conns[0].LocalAddr())
		}
	}
	if _, err := listenFirst(":0", without("udp4", "udp6"), quiet); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("without both: %v", err)
	}
	// An address kept for documentation is no host's.
	if conns, err := Open("192.0.2.254:0", quiet); err == nil || !strings.Contains(err.Error(), "choose one that it has") {
		t.Errorf("a foreign address: %v", err)
		CloseAll(conns)
	}
}
