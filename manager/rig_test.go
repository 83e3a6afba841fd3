package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys"
	"ossecd/manager/listen"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

const (
	anyLine    = "001 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	fixedLine  = "002 db01 192.0.2.7 0f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	subnetLine = "003 net01 198.51.100.0/24 1f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
)

var quiet = slog.New(slog.DiscardHandler)

// As the rooms have them.
const (
	sharedEvery   = 2 * time.Second  // how often shared directories are looked at
	pushAgain     = 30 * time.Second // how long an agent may take to report what was pushed
	changesAtOnce = 10               // of an agent's coming and going that are reported as they come
	maxNamed      = 100              // lost agents that the log names
	restEvery     = 10 * time.Second // how often the keys file is tried again
	signsOver     = 10 * time.Second // for which two hosts must be seen
)

var managerAddr = netip.MustParseAddrPort("203.0.113.5:1514")

// syncBuffer is a buffer for many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// rig is a manager on an in-memory network, in a synctest bubble.
type rig struct {
	t       *testing.T
	net     *simnet.Network
	cfg     Config
	out     *syncBuffer
	logs    *syncBuffer
	runName string // of the manager's run, once a test has learned it
	stop    context.CancelFunc
	err     error         // of Run
	ended   chan struct{} // closed after it

	sealing sync.Mutex
	sealer  *proto.Sealer // of all peers, since each of its own would take a megabyte; nil until one sends
}

func newRig(t *testing.T, lines ...string) *rig {
	dir := t.TempDir()
	r := &rig{t: t, net: simnet.New(1, simnet.Conditions{}), out: new(syncBuffer), logs: new(syncBuffer)}
	r.cfg = Config{
		Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Out: r.out, CryptoAccept: "any",
	}
	r.writeKeys(lines...)
	return r
}

func mustKey(t testing.TB, line string) keys.Key {
	k, err := keys.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (r *rig) writeKeys(lines ...string) {
	r.t.Helper()
	if err := os.WriteFile(r.cfg.Keys, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start() {
	r.t.Helper()
	conn, err := r.net.Listen(managerAddr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.startOn([]listen.PacketConn{conn})
}

func (r *rig) startOn(conns []listen.PacketConn) {
	r.t.Helper()
	r.cfg.Conns = conns
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.ended = cancel, make(chan struct{})
	ready := make(chan struct{})
	r.cfg.Ready = func([]netip.AddrPort) { close(ready) }
	log := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func(ended chan struct{}) {
		r.err = Run(ctx, r.cfg, log)
		close(ended)
	}(r.ended)
	r.t.Cleanup(func() { // a bubble must be empty when it ends, in whatever way a test fails
		cancel()
		<-r.ended
	})
	select {
	case <-ready:
	case <-r.ended:
		r.t.Fatal(r.err)
	}
}

func (r *rig) end() {
	r.t.Helper()
	r.stop()
	<-r.ended
	if r.err != nil {
		r.t.Error(r.err)
	}
}

// inBubble runs f with a started manager, and ends the manager.
func inBubble(t *testing.T, lines []string, f func(r *rig)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, lines...)
		r.start()
		f(r)
		r.end()
	})
}

// sealAs makes datagrams of an agent, with rising counts.
func sealAs(t testing.TB, keyLine string, e proto.Envelope) func(message string) []byte {
	k := mustKey(t, keyLine)
	c := proto.NewCipher(k.CipherKey())
	s, err := proto.NewSealer(9)
	if err != nil {
		t.Fatal(err)
	}
	return func(message string) []byte {
		e.Counter = e.Counter.Next()
		d, err := s.Seal(nil, c, &e, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// line is an event line as its reader sees it.
type line struct {
	Agent struct {
		ID, Name, IP string
		Labels       map[string]string
	}
	Source   string
	Queue    string
	Location string
	FullLog  string `json:"full_log"`
	Event    struct {
		Action   string
		Count    int
		LastSeen time.Time `json:"last_seen"`
		Source   string
		Interval float64
		Untold   int
		Reason   string
		Outage   float64
		Of, Back int
	}
}

// lines are all events written so far.
func (r *rig) lines() []line {
	r.t.Helper()
	synctest.Wait()
	return r.parse()
}

func (r *rig) parse() []line {
	r.t.Helper()
	var all []line
	for text := range strings.Lines(r.out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			r.t.Fatalf("%q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

// texts are the messages of all agents' events.
func (r *rig) texts() string {
	var s []string
	for _, l := range r.lines() {
		if l.Location != "ossecd" {
			s = append(s, l.FullLog)
		}
	}
	return strings.Join(s, ",")
}

// actions are what the manager itself reported, with the agents' names.
func (r *rig) actions() string {
	var s []string
	for _, l := range r.lines() {
		if l.Location == "ossecd" {
			s = append(s, l.Agent.Name+" "+strings.TrimPrefix(l.Event.Action, "agent-"))
		}
	}
	return strings.Join(s, ",")
}

// peer is one agent, played by a test.
type peer struct {
	ours   bool // marks its startups as an ossecd does
	r      *rig
	key    keys.Key
	cipher *proto.Cipher
	conn   net.Conn
	e      proto.Envelope
	opener *proto.Opener
	last   proto.Counter // of the manager's last answer
}

// dial makes an agent that sends from an address in the given form, counting up from global.
func (r *rig) dial(keyLine, from string, method proto.Method, d proto.Dialect, global uint32) *peer {
	r.t.Helper()
	k := mustKey(r.t, keyLine)
	p := &peer{r: r, key: k, cipher: proto.NewCipher(k.CipherKey()), opener: proto.NewOpener(),
		e: proto.Envelope{Method: method, Dialect: d, Counter: proto.Counter{Global: global}}}
	if k.Address.NeedsID(d == proto.Wazuh) {
		p.e.ID = k.ID
	}
	p.move(from)
	return p
}

// move gives the agent another source.
func (p *peer) move(from string) {
	p.r.t.Helper()
	conn, err := p.r.net.DialFrom(netip.MustParseAddr(from))(context.Background(), "udp", managerAddr.String())
	if err != nil {
		p.r.t.Fatal(err)
	}
	p.conn = conn
}

// seal makes the next datagram.
func (p *peer) seal(message string) []byte {
	p.r.t.Helper()
	p.e.Counter = p.e.Counter.Next()
	p.e.Random = uint16(rand.Uint32())
	if p.ours && message == proto.Startup {
		p.e.Random = p.cipher.StartupRandom(p.e.Counter)
	}
	p.r.sealing.Lock()
	defer p.r.sealing.Unlock()
	if p.r.sealer == nil {
		s, err := proto.NewSealer(9)
		if err != nil {
			p.r.t.Fatal(err)
		}
		p.r.sealer = s
	}
	d, err := p.r.sealer.Seal(nil, p.cipher, &p.e, []byte(message))
	if err != nil {
		p.r.t.Fatal(err)
	}
	return d
}

func (p *peer) write(d []byte) {
	p.r.t.Helper()
	if _, err := p.conn.Write(d); err != nil {
		p.r.t.Fatal(err)
	}
}

// send sends a message and returns its datagram.
func (p *peer) send(message string) []byte {
	d := p.seal(message)
	p.write(d)
	return d
}

// answer is the message that came within a second, or "".
func (p *peer) answer() string {
	p.r.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 2048)
	n, err := p.conn.Read(b)
	if err != nil {
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return ""
		}
		p.r.t.Fatal(err)
	}
	f, err := proto.ParseFrame(b[:n])
	if err != nil || f.ID != nil || f.Method != p.e.Method {
		p.r.t.Fatalf("answer: %v, ID %q, %v", err, f.ID, f.Method)
	}
	m, err := p.opener.Open(p.cipher, f, p.e.Dialect)
	if err != nil {
		p.r.t.Fatal(err)
	}
	if m.Method == proto.AES && m.Dialect != p.e.Dialect {
		p.r.t.Errorf("answered in the dialect %v, want %v", m.Dialect, p.e.Dialect)
	}
	if m.Counter.Value() <= p.last.Value() {
		p.r.t.Errorf("answer counts %v after %v", m.Counter, p.last)
	}
	p.last = m.Counter
	return string(m.Payload)
}

// hello does a startup and fails the test without an ack.
func (p *peer) hello() {
	p.r.t.Helper()
	p.send(proto.Startup)
	if got := p.answer(); got != proto.Ack {
		p.r.t.Fatalf("startup answered with %q", got)
	}
}

// hostUname is what a host says of itself; no answer to a keepalive of ours may be longer than that is.
const hostUname = "Linux host.example.net 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64"

func keepalive(program string, notify time.Duration) string {
	return string(proto.AppendKeepalive(nil, &proto.Keepalive{
		Uname: hostUname, Program: program, Files: []proto.FileSum{{Name: proto.MergedName}}, NotifyTime: notify,
	}))
}

// gated is a reader of events that blocks until its gate is closed.
type gated struct {
	syncBuffer
	gate chan struct{}
}

func (g *gated) Write(p []byte) (int, error) {
	<-g.gate
	return g.syncBuffer.Write(p)
}
