package sendtest

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"ossecd/keys"
	"ossecd/proto"
)

// scripted is a manager that does to each message what a test says. It listens on loopback.
type scripted struct {
	addr string
	keys []keys.Key
	key  keys.Key // of the message at hand
	conn *net.UDPConn
	// reply answers a message; it may call send any number of times.
	reply func(m *scripted, from netip.AddrPort, got proto.Message)

	count proto.Counter
	mu    sync.Mutex
	came  []arrival
}

// arrival is a message that came.
type arrival struct {
	id    string // of the agent
	text  string
	count proto.Counter
	from  netip.AddrPort
}

func startManager(t *testing.T, lines string, reply func(*scripted, netip.AddrPort, proto.Message)) *scripted {
	t.Helper()
	var all []keys.Key
	for line := range strings.Lines(lines) {
		key, err := keys.ParseLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	m := &scripted{addr: "udp://" + conn.LocalAddr().String(), keys: all, key: all[0], conn: conn, reply: reply, count: proto.Counter{Global: 100}}
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
	ciphers := make([]*proto.Cipher, len(m.keys))
	for i, k := range m.keys {
		ciphers[i] = proto.NewCipher(k.CipherKey())
	}
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
		i := slices.IndexFunc(m.keys, func(k keys.Key) bool { return k.ID == string(frame.ID) })
		if frame.ID == nil {
			i = slices.IndexFunc(m.keys, func(k keys.Key) bool { return k.Address.Contains(from.Addr()) })
		}
		if i < 0 {
			continue
		}
		got, err := opener.Open(ciphers[i], frame, 0)
		if err != nil {
			continue
		}
		if m.keys[i].ID != m.key.ID {
			m.key = m.keys[i]
		}
		m.mu.Lock()
		m.came = append(m.came, arrival{m.keys[i].ID, string(got.Payload), got.Counter, from})
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
