package agent

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/agent/obey"
	"ossecd/agent/outbox"
	"ossecd/agent/source"
	"ossecd/keys"
	"ossecd/proto"
)

// deaf is a socket to nowhere; onWrite is called for each datagram.
type deaf struct {
	onWrite func()
	closed  chan struct{}
	once    sync.Once
}

func newDeaf(onWrite func()) *deaf { return &deaf{onWrite: onWrite, closed: make(chan struct{})} }

func (d *deaf) Read([]byte) (int, error) {
	<-d.closed
	return 0, net.ErrClosed
}

func (d *deaf) Write(p []byte) (int, error) {
	d.onWrite()
	return len(p), nil
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

func (*deaf) LocalAddr() net.Addr                { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5000} }
func (*deaf) RemoteAddr() net.Addr               { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1514} }
func (*deaf) SetDeadline(time.Time) error        { return nil }
func (*deaf) SetReadDeadline(t time.Time) error  { return nil }
func (*deaf) SetWriteDeadline(t time.Time) error { return nil }

// idleSource does nothing until it is told to stop.
type idleSource struct{}

func (idleSource) Run(ctx context.Context, _ source.Output) error {
	<-ctx.Done()
	return nil
}

// bareSession is a session that is connected to nowhere and online, without its goroutine.
func bareSession(t testing.TB, cfg Config, dial func() net.Conn) *session {
	t.Helper()
	s, _ := sessionOf(t, cfg, dial)
	return s
}

// sessionOf is bareSession, and gives the outbox, too.
func sessionOf(t testing.TB, cfg Config, dial func() net.Conn) (*session, *outbox.Outbox) {
	t.Helper()
	dir := t.TempDir()
	cfg.Keys, cfg.State = filepath.Join(dir, "agent.keys"), filepath.Join(dir, "state")
	cfg.Managers = []string{"192.0.2.2"}
	cfg.Sources = []source.Source{idleSource{}}
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return dial(), nil }
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg = cfg.withDefaults()
	key, err := keys.ParseLine(anyKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cfg.State, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := openCounts(&cfg, key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSession(&cfg, key, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.obeyWith(&cfg, 0, obey.Config{}); err != nil {
		t.Fatal(err)
	}
	queue, err := cfg.openSpool(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if queue != nil {
		t.Cleanup(func() { queue.Close() })
	}
	box := outbox.New(outbox.Config{Spool: queue, Readers: 1, Log: s.log})
	s.out = box.Reader(0)
	s.timer = time.NewTimer(time.Hour)
	t.Cleanup(func() {
		s.end()
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	s.connect(t.Context())
	s.comeOnline(t.Context())
	return s, box
}

// comeOnline finishes an attempt to connect.
func (s *session) comeOnline(ctx context.Context) {
	s.dialEnded(ctx, <-s.dialed)
	s.heard = time.Now()
	s.welcome(s.heard)
}

// Messages of a manager with our key, whatever they say, never write outside of shared/. The messages of one input
// are separated by a line "--".
func FuzzAgentReceive(f *testing.F) {
	for _, v := range []string{
		proto.Ack, proto.ForceReconnect + "\n--\n" + proto.Ack, proto.SyscheckNow, proto.AnyHere, proto.AnyHere + "A1b", "#!-execd artest10 - 10.9.8.7 (from_the_server) (no_rule_id)",
		"#!-some unknown control", "#!-req 1f agent getconfig client", "#!-err {}", "", "\n--\n", "#!-",
		"#!-up file 9e107d9d372bb6826bd81d3542a419d6 merged.mg\n\n--\nThe quick brown fox jumps over the lazy dog\n--\n#!-close file ",
		"#!-up file 7fc56270e7a70fa81a5935b72eacbe29 ../x\n\n--\nA\n--\n#!-close file ",
		"#!-up file 9d5ed678fe57bcca610140957afab571 one.txt\n\n--\nB\n--\n#!-close file ",
	} {
		f.Add([]byte(v), false)
		f.Add([]byte(v), true)
	}
	var both [2]*session
	for i, d := range []proto.Dialect{proto.OSSEC, proto.Wazuh} {
		both[i] = bareSession(f, Config{Dialect: d}, func() net.Conn { return newDeaf(func() {}) })
	}
	sealer, err := proto.NewSealer(1)
	if err != nil {
		f.Fatal(err)
	}
	count := proto.Counter{Global: uint32(time.Now().Unix())}
	f.Fuzz(func(t *testing.T, in []byte, wazuh bool) {
		s := both[0]
		if wazuh {
			s = both[1]
		}
		for message := range bytes.SplitSeq(in, []byte("\n--\n")) {
			count = count.Next()
			d, err := sealer.Seal(nil, s.sealed.cipher, &proto.Envelope{Method: s.cfg.Method, Dialect: s.cfg.Dialect, Counter: count}, message)
			if err != nil {
				continue // too long
			}
			pushing := s.recv.pushing
			got, ok := s.recv.open(d)
			if !ok && (proto.OnlyAgentsSay(message) || !proto.IsControl(message) && !pushing) {
				continue
			}
			if !ok || !bytes.Equal(got.Text, message) {
				t.Fatalf("%q was not taken", message)
			}
			s.receive(t.Context(), got)
			if s.dial != nil {
				s.comeOnline(t.Context())
			}
			if bytes.Equal(message, []byte(proto.CloseFile)) {
				select { // a file that is stored
				case done := <-s.orders.Results():
					done()
				case <-time.After(time.Millisecond):
				}
			}
		}
		root := filepath.Dir(s.cfg.State)
		for _, dir := range []string{root, s.cfg.State} {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !strings.Contains(" state rids received shared ", " "+e.Name()+" ") {
					t.Errorf("%q was written in %s", e.Name(), dir)
				}
			}
		}
	})
}

// Whatever arrives, nothing is taken but what the key sealed.
func FuzzAgentDatagram(f *testing.F) {
	_, session := readSession(f, "aes-any-start")
	for _, d := range session {
		f.Add(d.data)
	}
	s := bareSession(f, Config{Method: proto.AES}, func() net.Conn { return newDeaf(func() {}) })
	known := map[string]bool{} // what the manager says; of what the agent said itself, nothing is taken
	for _, d := range session {
		if in, ok := s.recv.open(d.data); ok {
			if d.fromAgent {
				f.Errorf("taken of what the agent sent: %q", in.Text)
			}
			known[string(in.Text)] = true
		}
		if end := bytes.LastIndexByte(d.data[:min(len(d.data), 10)], '!'); d.data[0] == '!' && end > 0 {
			f.Add(d.data[end+1:]) // as somebody would send it back
		}
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		if got, ok := s.recv.open(d); ok && !known[string(got.Text)] {
			t.Errorf("%x was taken as %q", d, got.Text)
		}
	})
}
