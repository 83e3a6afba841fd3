package sendtest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"ossecd/keys"
	"ossecd/proto"
)

// scripted is a manager that does to each message what a test says. It listens on loopback.
type scripted struct {
	addr string
	key  keys.Key
	conn *net.UDPConn
	// reply answers a message; it may call send any number of times.
	reply func(m *scripted, from netip.AddrPort, got proto.Message)

	count proto.Counter
	mu    sync.Mutex
	came  []arrival
}

// arrival is a message that came.
type arrival struct {
	text  string
	count proto.Counter
	from  netip.AddrPort
}

func startManager(t *testing.T, line string, reply func(*scripted, netip.AddrPort, proto.Message)) *scripted {
	t.Helper()
	key, err := keys.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	m := &scripted{addr: conn.LocalAddr().String(), key: key, conn: conn, reply: reply, count: proto.Counter{Global: 100}}
	var running sync.WaitGroup
	running.Go(m.run)
	t.Cleanup(func() {
		conn.Close()
		running.Wait()
	})
	return m
}

func (m *scripted) run() {
	opener := proto.NewOpener()
	cipher := proto.NewCipher(m.key.CipherKey())
	wire := make([]byte, proto.MaxDatagram)
	for {
		n, from, err := m.conn.ReadFromUDPAddrPort(wire)
		if err != nil {
			return
		}
		frame, err := proto.ParseFrame(wire[:n])
		if err != nil {
			continue
		}
		got, err := opener.Open(cipher, frame, 0)
		if err != nil {
			continue
		}
		m.mu.Lock()
		m.came = append(m.came, arrival{string(got.Payload), got.Counter, from})
		m.mu.Unlock()
		m.reply(m, from, got)
	}
}

// send seals a message with the next count.
func (m *scripted) send(to netip.AddrPort, method proto.Method, dialect proto.Dialect, message string) {
	m.count = m.count.Next()
	m.sendAt(to, method, dialect, m.count, message)
}

func (m *scripted) sendAt(to netip.AddrPort, method proto.Method, dialect proto.Dialect, count proto.Counter, message string) {
	sealer, err := proto.NewSealer(1)
	if err != nil {
		panic(err)
	}
	p, err := sealer.Seal(nil, proto.NewCipher(m.key.CipherKey()), &proto.Envelope{Method: method, Dialect: dialect, Counter: count}, []byte(message))
	if err != nil {
		panic(err)
	}
	m.conn.WriteToUDPAddrPort(p, to)
}

// arrivals is what came so far, in its order.
func (m *scripted) arrivals() []arrival {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.came)
}

// acks answers every control message as a manager does.
func acks(m *scripted, from netip.AddrPort, got proto.Message) {
	if proto.IsControl(got.Payload) {
		m.send(from, got.Method, got.Dialect, proto.Ack)
	}
}
