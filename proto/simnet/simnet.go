// Package simnet is an in-memory packet network for tests. It loses, repeats, reorders and delays datagrams by
// a seeded generator, cuts hosts off, resolves names by a table, and drops what overruns a socket's buffer. All
// waiting is on channels and timers made where it is used, so it runs inside testing/synctest bubbles.
package simnet

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Conditions say what becomes of each datagram. The probabilities are from 0 to 1 and independent.
type Conditions struct {
	Loss    float64
	Repeat  float64       // it arrives twice, the second time up to reorderBy later
	Reorder float64       // it is held back by up to reorderBy, so that later ones overtake it
	Delay   time.Duration // every datagram takes this long
	Jitter  time.Duration // and up to this much longer
}

const (
	reorderBy = 50 * time.Millisecond

	// What a socket holds unread, as Linux counts by default: 212,992 bytes, each datagram charged with its
	// length and the kernel's own record of it.
	bufferSize = 212_992
	perPacket  = 768

	maxDatagram = 65_507
	firstPort   = 32_768
)

// The addresses a socket has that was not given one.
var (
	source4 = netip.MustParseAddr("192.0.2.1")
	source6 = netip.MustParseAddr("2001:db8::1")
)

// Network is one network. Safe for use by many goroutines.
type Network struct {
	mu      sync.Mutex
	rand    *rand.Rand
	cond    Conditions
	names   map[string][]netip.Addr
	sockets map[netip.AddrPort]*socket
	cut     map[netip.Addr]bool
	port    uint16 // the last source port given out
	dropped int
	flying  flights
	number  uint64 // of the last datagram sent
}

// New returns a network whose chances follow from seed.
func New(seed uint64, c Conditions) *Network {
	return &Network{
		rand: rand.New(rand.NewPCG(seed, seed)), cond: c, port: firstPort,
		names: map[string][]netip.Addr{}, sockets: map[netip.AddrPort]*socket{}, cut: map[netip.Addr]bool{},
	}
}

// SetConditions changes what becomes of the datagrams sent from now on.
func (n *Network) SetConditions(c Conditions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cond = c
}

// SetName makes host resolve to addrs, or to nothing where there are none.
func (n *Network) SetName(host string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[host] = addrs
}

// Cut makes all to and from a host vanish, without a word to the sender, until Heal.
func (n *Network) Cut(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[host] = true
}

// Heal undoes Cut.
func (n *Network) Heal(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, host)
}

// Dropped is how many datagrams found the buffer of their receiver full.
func (n *Network) Dropped() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dropped
}

// Dial returns a connected datagram socket with a source port of its own, on 192.0.2.1 or 2001:db8::1. network
// is "udp", "udp4" or "udp6"; address is "host:port" with a name or an address.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dial(ctx, network, address, netip.Addr{})
}

// DialFrom is Dial from another source address.
func (n *Network) DialFrom(source netip.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return n.dial(ctx, network, address, source)
	}
}

func (n *Network) dial(ctx context.Context, network, address string, source netip.Addr) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	addrs := n.names[host]
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	}
	for _, a := range addrs {
		if (network == "udp4" && !a.Is4()) || (network == "udp6" && a.Is4()) || (source.IsValid() && source.Is4() != a.Is4()) {
			continue
		}
		from := source
		switch {
		case from.IsValid():
		case a.Is4():
			from = source4
		default:
			from = source6
		}
		s := n.open(netip.AddrPortFrom(from, 0))
		s.remote = netip.AddrPortFrom(a, uint16(port))
		return &Conn{s}, nil
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
}

// Listen returns a socket that anyone can send to. Port 0 picks one. On an unspecified address it gets what is
// sent to its port on any address of the family.
func (n *Network) Listen(addr netip.AddrPort) (*Endpoint, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets[addr] != nil {
		return nil, fmt.Errorf("listen %v: %w", addr, syscall.EADDRINUSE)
	}
	return &Endpoint{n.open(addr)}, nil
}

// open makes a socket. n.mu is held.
func (n *Network) open(local netip.AddrPort) *socket {
	for local.Port() == 0 || n.sockets[local] != nil {
		if n.port++; n.port < firstPort {
			n.port = firstPort
		}
		local = netip.AddrPortFrom(local.Addr(), n.port)
	}
	s := &socket{net: n, local: local, queue: make(chan packet, bufferSize/perPacket), closed: make(chan struct{}), failed: make(chan error, 1)}
	n.sockets[local] = s
	return s
}

type packet struct {
	data []byte
	from netip.AddrPort
	to   netip.Addr
}

// send puts a datagram on its way.
func (n *Network) send(from, to netip.AddrPort, data []byte) error {
	if len(data) > maxDatagram {
		return syscall.EMSGSIZE
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.cond
	if n.cut[from.Addr()] || n.rand.Float64() < c.Loss {
		return nil
	}
	p := packet{append([]byte(nil), data...), from, to.Addr()}
	delay := c.Delay
	if c.Jitter > 0 {
		delay += time.Duration(n.rand.Int64N(int64(c.Jitter)))
	}
	held := func() time.Duration { return 1 + time.Duration(n.rand.Int64N(int64(reorderBy))) }
	if n.rand.Float64() < c.Repeat {
		n.after(delay+held(), p, to)
	}
	if n.rand.Float64() < c.Reorder {
		delay += held()
	}
	n.after(delay, p, to)
	return nil
}

// after delivers a datagram in a while; those due at the same time in the order of sending. n.mu is held.
func (n *Network) after(d time.Duration, p packet, to netip.AddrPort) {
	if d == 0 {
		n.deliver(p, to)
		return
	}
	n.number++
	heap.Push(&n.flying, flight{time.Now().Add(d), n.number, p, to})
	time.AfterFunc(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for len(n.flying) > 0 && !n.flying[0].due.After(time.Now()) {
			f := heap.Pop(&n.flying).(flight)
			n.deliver(f.packet, f.to)
		}
	})
}

// flight is a datagram on its way.
type flight struct {
	due    time.Time
	number uint64
	packet packet
	to     netip.AddrPort
}

// flights is a heap, the next one due on top.
type flights []flight

func (f flights) Len() int      { return len(f) }
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f flights) Less(i, j int) bool {
	return f[i].due.Before(f[j].due) || (f[i].due.Equal(f[j].due) && f[i].number < f[j].number)
}
func (f *flights) Push(x any) { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

// deliver puts a datagram into the buffer of its receiver. n.mu is held.
func (n *Network) deliver(p packet, to netip.AddrPort) {
	if n.cut[to.Addr()] || n.cut[p.from.Addr()] {
		return
	}
	s := n.sockets[to]
	if s == nil {
		every := netip.IPv6Unspecified()
		if to.Addr().Is4() {
			every = netip.IPv4Unspecified()
		}
		s = n.sockets[netip.AddrPortFrom(every, to.Port())]
	}
	switch {
	case s == nil:
		// As by ICMP, a connected sender learns that nobody is there.
		if sender := n.sockets[p.from]; sender != nil && sender.remote == to {
			select {
			case sender.failed <- syscall.ECONNREFUSED:
			default:
			}
		}
	case s.remote.IsValid() && s.remote != p.from:
	case s.held+len(p.data)+perPacket > bufferSize:
		n.dropped++
	default:
		s.held += len(p.data) + perPacket
		s.queue <- p // never full: held bounds it
	}
}
