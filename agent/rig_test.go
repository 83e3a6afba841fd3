package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent/source"
	"ossecd/keys"
	"ossecd/keys/testlog"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

const (
	fixedKey = "001 fixed1 127.0.0.1 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	anyKey   = "003 dyn2 any f8c75a6e96d28a294cc845cd5bbeca42e206d473715e7364d7fa275193248ec7"
)

var (
	managerAddr = netip.MustParseAddrPort("198.51.100.1:1514")
	stranger    = netip.MustParseAddrPort("198.51.100.66:1514")
	stranger2   = netip.MustParseAddrPort("198.51.100.67:1514")
)

// heard is a message as a manager took it.
type heard struct {
	at   time.Duration // since the rig was made
	text string
}

// fakeManager answers at one address of a network. By default it acknowledges every control message.
type fakeManager struct {
	t       testing.TB
	began   time.Time
	end     *simnet.Endpoint
	cipher  *proto.Cipher
	method  proto.Method
	dialect proto.Dialect
	done    chan struct{}

	mu      sync.Mutex
	got     []heard
	counts  map[uint64]int // how often a count came
	seen    int            // datagrams
	answer  func(text string) []string
	sealer  *proto.Sealer
	counter proto.Counter
	random  uint16 // of its datagrams: no two managers send the same one
	last    netip.AddrPort
	at      proto.Counter // of the message at hand
	talk    string        // the conversation of the agent's last keepalive, empty for none
}

func newFakeManager(t testing.TB, n *simnet.Network, at netip.AddrPort, line string, method proto.Method, dialect proto.Dialect) *fakeManager {
	t.Helper()
	key, err := keys.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	end, err := n.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := proto.NewSealer(9)
	if err != nil {
		t.Fatal(err)
	}
	m := &fakeManager{
		t: t, began: time.Now(), end: end, cipher: proto.NewCipher(key.CipherKey()), method: method, dialect: dialect,
		done: make(chan struct{}), counts: map[uint64]int{}, sealer: sealer, random: uint16(at.Addr().AsSlice()[3]), counter: proto.Counter{Global: uint32(time.Now().Unix())}, answer: acknowledge,
	}
	go m.run()
	return m
}

// acknowledge is how a manager answers.
func acknowledge(text string) []string {
	if proto.IsControl([]byte(text)) && text != proto.Shutdown && !strings.HasPrefix(text, "#!-req ") {
		return []string{proto.Ack}
	}
	return nil
}

// asOssecd has the manager answer as an ossecd does, in a run of this name.
func (m *fakeManager) asOssecd(run string) {
	m.answerWith(func(text string) []string {
		if len(acknowledge(text)) == 0 {
			return nil
		}
		kind, rest := proto.ParseFromAgent([]byte(text))
		if kind == proto.AgentStartup {
			m.talk = ""
			return []string{proto.Ack}
		}
		r := proto.Run{Name: run}
		if k, err := proto.ParseKeepalive(rest); err == nil && k.Nonce != "" {
			m.talk, r.Of = proto.ConversationName(k.Nonce, run), m.at
			return []string{string(proto.AppendNamed(nil, m.talk, proto.AppendAck(nil, &r)))}
		}
		return []string{string(proto.AppendAck(nil, &r))}
	})
}

// named is a message in the conversation with the agent.
func (m *fakeManager) named(text string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.talk == "" {
		m.t.Error("the agent offers no conversation")
		return text
	}
	return string(proto.AppendNamed(nil, m.talk, []byte(text)))
}

func silent(string) []string { return nil }

func (m *fakeManager) run() {
	defer close(m.done)
	buf := make([]byte, 65_536)
	o := proto.NewOpener()
	for {
		n, from, _, err := m.end.ReadPacket(buf)
		if err != nil {
			return
		}
		f, err := proto.ParseFrame(buf[:n])
		if err != nil {
			m.t.Errorf("the agent sent %q: %v", buf[:n], err)
			continue
		}
		m.mu.Lock()
		cipher := m.cipher
		m.mu.Unlock()
		msg, err := o.Open(cipher, f, m.dialect)
		if err != nil {
			m.t.Errorf("the agent sent what does not open: %v", err)
			continue
		}
		m.mu.Lock()
		m.seen++
		m.counts[msg.Counter.Value()]++
		text := string(msg.Payload)
		if text == proto.Startup && msg.Random != cipher.StartupRandom(msg.Counter) {
			m.t.Error("a startup does not bear the mark of an ossecd")
		}
		var answers []string
		if m.counts[msg.Counter.Value()] == 1 {
			m.got = append(m.got, heard{time.Since(m.began), text})
			m.last, m.at = from, msg.Counter
			answers = m.answer(text)
		}
		m.mu.Unlock()
		for _, a := range answers {
			m.send(a)
		}
	}
}

// seal makes the manager's next datagram.
func (m *fakeManager) seal(text string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter = m.counter.Next()
	d, err := m.sealer.Seal(nil, m.cipher, &proto.Envelope{Method: m.method, Dialect: m.dialect, Counter: m.counter, Random: m.random}, []byte(text))
	if err != nil {
		m.t.Error(err)
	}
	return d
}

// send sends a message to where the agent's last one came from.
func (m *fakeManager) send(text string) { m.sendRaw(m.seal(text)) }

func (m *fakeManager) sendRaw(d []byte) {
	m.mu.Lock()
	to := m.last
	m.mu.Unlock()
	if err := m.end.WritePacket(d, to, netip.Addr{}); err != nil && !errors.Is(err, net.ErrClosed) { // as at the end of a test
		m.t.Error(err)
	}
}

func (m *fakeManager) answerWith(f func(text string) []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = f
}

// setCount makes the manager count on from there.
func (m *fakeManager) setCount(c proto.Counter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter = c
}

// take returns what was heard since the last call.
func (m *fakeManager) take() []heard {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := m.got
	m.got = nil
	return got
}

func (m *fakeManager) close() {
	m.end.Close()
	<-m.done
}

// feed is a source that emits what it is given.
type feed struct {
	batches chan []source.Event
	idles   chan struct{}
	mu      sync.Mutex
	sent    int
}

func newFeed() *feed {
	return &feed{batches: make(chan []source.Event, 1000), idles: make(chan struct{}, 10)}
}

func (f *feed) Run(ctx context.Context, out source.Output) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.idles:
			out.Idle()
		case b := <-f.batches:
			n, err := out.Emit(ctx, b)
			f.mu.Lock()
			f.sent += n
			f.mu.Unlock()
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

// lines makes a batch of n events, numbered from first on.
func lines(first, n int) []source.Event {
	var b []source.Event
	for i := range n {
		b = append(b, source.Event{Queue: '1', Location: "/var/log/test", Message: fmt.Appendf(nil, "line %d", first+i)})
	}
	return b
}

// wideLines are lines of 1 KB, to fill something with few of them.
func wideLines(first, n int) []source.Event {
	b := lines(first, n)
	for i := range b {
		b[i].Message = append(b[i].Message, bytes.Repeat([]byte(" more"), 200)...)
	}
	return b
}

// rig is an agent under test.
type rig struct {
	t      *testing.T
	net    *simnet.Network
	cfg    Config
	feed   *feed
	log    *testlog.Buffer
	cancel context.CancelFunc
	ended  chan error
}

// newRig prepares an agent with a key line, not started yet. Times are those of the stock sessions.
func newRig(t *testing.T, n *simnet.Network, line string) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, net: n, feed: newFeed(), log: &testlog.Buffer{}, ended: make(chan error, 1)}
	r.cfg = Config{
		Keys: filepath.Join(dir, "agent.keys"), State: filepath.Join(dir, "state"),
		Managers: []string{managerAddr.String()}, Intake: Intake{Sources: []source.Source{r.feed}},
		NotifyTime: 10 * time.Second, TimeReconnect: 30 * time.Second, Version: "v0.0.1", Dial: n.Dial,
	}
	if err := os.WriteFile(r.cfg.Keys, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) start() {
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel = func() { cancel(errors.New("terminated signal received")) } // as signal.NotifyContext does
	go func() { r.ended <- Run(ctx, r.cfg, r.log.Logger()) }()
	synctest.Wait()
}

// stop ends the agent and returns what Run returned.
func (r *rig) stop() error {
	r.cancel()
	return <-r.ended
}

// mustStop fails the test where Run returns an error.
func (r *rig) mustStop() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// kind shortens a message for tables: startup, keepalive, shutdown, or the event's text.
func kind(text string) string {
	if !proto.IsControl([]byte(text)) {
		return text
	}
	switch k, _ := proto.ParseFromAgent([]byte(text)); k {
	case proto.AgentStartup:
		return "startup"
	case proto.AgentKeepalive:
		return "keepalive"
	case proto.AgentShutdown:
		return "shutdown"
	}
	return text
}

// timeline writes what was heard as "SECONDS KIND" lines.
func timeline(got []heard) string {
	var b strings.Builder
	for _, h := range got {
		fmt.Fprintf(&b, "%g %s\n", h.at.Seconds(), kind(h.text))
	}
	return b.String()
}

// wantTimeline compares; want is indented as in Go source.
func wantTimeline(t *testing.T, got []heard, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	wanted := strings.Join(lines, "\n") + "\n"
	if g := timeline(got); g != wanted && (g != "" || len(lines) > 0) {
		t.Errorf("the manager heard\n%swant\n%s", g, wanted)
	}
}
