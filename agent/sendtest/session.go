package sendtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"ossecd/agent/transport"
	"ossecd/keys"
	"ossecd/proto"
)

// session is one agent's side of the channel (docs/protocol.md). In short:
//
//	agent                                    manager
//	  startup, with the next count  ------->  finds the key, opens, checks the count
//	                                <-------  ack, in the same cipher
//	  QUEUE:LOCATION:MESSAGE        ------->  (events are never answered)
//	  keepalive                     ------->
//	                                <-------  ack
//
// A session is for one goroutine at a time, whose bench it uses. Sessions can share a socket as long as one of them
// at a time waits for an answer: what comes for another cannot be opened, and is passed over.
type session struct {
	*bench
	key       keys.Key
	conn      net.Conn
	sealing   *proto.Cipher
	opening   *proto.Cipher
	form      proto.Envelope // cipher, dialect and "!ID!" prefix of all we send
	counts    counts
	window    proto.Window // what the manager has counted so far
	heard     heard
	lastCount proto.Counter // of the last message sent
}

// counts gives every message a higher count than the one before.
type counts interface {
	Next() (proto.Counter, error)
	Rebase() error // called before a startup message
}

// bench is the scratch space for sealing and opening; it is large.
type bench struct {
	sealer  *proto.Sealer
	opener  *proto.Opener
	message []byte
	sealed  []byte
	wire    []byte
	random  [512]byte // from a secure source; the first used bytes are spent
	used    int
}

// zlibLevel is what ossecd agents use, so that a manager has the same work with our messages as with theirs.
const zlibLevel = 1

func newBench() (*bench, error) {
	sealer, err := proto.NewSealer(zlibLevel)
	if err != nil {
		return nil, err
	}
	return &bench{sealer: sealer, opener: proto.NewOpener(), wire: make([]byte, proto.MaxDatagram), used: len(bench{}.random)}, nil
}

// iv fills v with random bytes that were not used before.
func (b *bench) iv(v *[16]byte) {
	if b.used == len(b.random) {
		rand.Read(b.random[:])
		b.used = 0
	}
	b.used += copy(v[:], b.random[b.used:])
}

// heard is what came from the manager's address and was not taken: what a failure is explained by.
type heard struct {
	foreign     int          // no datagrams of this protocol
	otherMethod proto.Method // of a datagram in the cipher that was not asked for
	otherAES    bool         // one in the AES form of the other dialect
	sealed      error        // why the last one that could not be opened was not
	stale       int          // authentic, with a count that was used before
	refusal     string       // of a Wazuh manager, proto.ManagerError
	pushed      int          // pieces of files; no fault
}

// What ends a session early.
var (
	errRefused  = errors.New("connection refused")
	errNoAnswer = errors.New("no answer")
	errClosed   = errors.New("the connection has ended")
)

// newSession is an agent that speaks over conn. Its bench is the caller's to set.
func newSession(key keys.Key, conn net.Conn, c counts, to target) *session {
	cipher := proto.NewCipher(key.CipherKey())
	s := &session{key: key, conn: conn, sealing: cipher, opening: cipher, counts: c, form: proto.Envelope{Method: to.method, Dialect: to.dialect}}
	if key.Address.NeedsID(to.dialect == proto.Wazuh) {
		s.form.ID = key.ID
	}
	return s
}

// dial opens a socket to the manager, from the key's address where this host has that one among others.
func dial(ctx context.Context, key keys.Key, address transport.Address) (net.Conn, error) {
	if conn, ok := dialFromOwn(ctx, key, address); ok {
		return conn, nil
	}
	return dialFromAny(ctx, address) // which may not be the key's address: let the manager judge that
}

func dialFromOwn(ctx context.Context, key keys.Key, address transport.Address) (net.Conn, bool) {
	own, ok := key.Address.Single()
	if !ok {
		return nil, false
	}
	conn, err := open(ctx, net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)), address)
	return conn, err == nil
}

func dialFromAny(ctx context.Context, address transport.Address) (net.Conn, error) {
	conn, err := open(ctx, nil, address)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w by %v", errRefused, address)
	case err != nil:
		return nil, fmt.Errorf("%v: %w; check the name, the port and the routes of this host", address, err)
	}
	return conn, nil
}

func open(ctx context.Context, local *net.UDPAddr, address transport.Address) (net.Conn, error) {
	if address.Network == transport.TCP {
		ctx, cancel := context.WithTimeout(ctx, connectWithin)
		defer cancel()
		return transport.From(local).To(ctx, address, 0)
	}
	d := new(net.Dialer)
	if local != nil {
		d.LocalAddr = local
	}
	return d.DialContext(ctx, transport.UDP, address.HostPort)
}

// connectWithin bounds the making of a connection.
const connectWithin = 10 * time.Second

// sent is a datagram that left.
type sent struct {
	at      time.Time
	size    int // bytes
	counter proto.Counter
}

// send seals a message with the next count and sends it.
func (s *session) send(message []byte) (sent, error) {
	count, err := s.counts.Next()
	if err != nil {
		return sent{}, err
	}
	e := s.form
	e.Counter = count
	e.Random = uint16(mathrand.Uint32()) // need not be secret
	if e.Method == proto.AES {
		s.iv(&e.IV)
	}
	if s.sealed, err = s.sealer.Seal(s.sealed[:0], s.sealing, &e, message); err != nil {
		return sent{}, fmt.Errorf("message of %d bytes: %w; %d are the most", len(message), err, proto.MaxMessage(s.form.Dialect))
	}
	at := time.Now()
	if _, err := s.conn.Write(s.sealed); err != nil {
		return sent{}, networkError(err)
	}
	s.lastCount = count
	return sent{at, len(s.sealed), count}, nil
}

// startup says hello. The sending counter starts a new global with it, so that a manager which heard of this
// agent before understands that it is past all that.
func (s *session) startup() (sent, error) {
	if err := s.counts.Rebase(); err != nil {
		return sent{}, err
	}
	return s.send([]byte(proto.Startup))
}

// event sends a record.
func (s *session) event(queue byte, location string, text []byte) (sent, error) {
	s.message = proto.AppendEvent(s.message[:0], queue, location, text, s.form.Dialect)
	return s.send(s.message)
}

// keepalive tells the manager about this host, and has to be answered: the answer proves that the manager has
// taken in what was sent before.
func (s *session) keepalive() (sent, error) {
	s.message = proto.AppendKeepalive(s.message[:0], &about)
	return s.send(s.message)
}

// leave says goodbye where the dialect has a word for it.
func (s *session) leave() {
	if s.form.Dialect == proto.Wazuh {
		s.send([]byte(proto.Shutdown))
	}
}

// answer is an authentic message of the manager.
type answer struct {
	kind    proto.FromManager
	size    int
	counter proto.Counter
}

// ack waits for an acknowledgement until the given time. Its errors are errNoAnswer, errRefused and those of the
// context.
func (s *session) ack(ctx context.Context, until time.Time) (answer, error) {
	for {
		a, rest, err := s.receive(ctx, until)
		if err != nil {
			return a, err
		}
		switch {
		case a.kind == proto.ManagerAck:
			return a, nil
		case a.kind == proto.ManagerError && len(rest) > 0:
			s.heard.refusal = fmt.Sprintf("%.200q", rest)
		default:
			s.heard.pushed++
		}
	}
}

// receive waits for a message that is authentic and fresh. What is not is noted in s.heard, and changes nothing
// else. rest is valid until the next call.
func (s *session) receive(ctx context.Context, until time.Time) (a answer, rest []byte, err error) {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return a, nil, networkError(err)
	}
	for {
		n, err := s.conn.Read(s.wire)
		switch {
		case ctx.Err() != nil:
			return a, nil, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return a, nil, errNoAnswer
		case err != nil:
			return a, nil, networkError(err)
		}
		frame, err := proto.ParseFrame(s.wire[:n])
		if err != nil {
			s.heard.foreign++
			continue
		}
		m, err := s.opener.Open(s.opening, frame, s.form.Dialect)
		switch {
		case err != nil && frame.Method != s.form.Method:
			s.heard.otherMethod = frame.Method
			continue
		case err != nil:
			s.heard.sealed = err
			continue
		case m.Method != s.form.Method:
			s.heard.otherMethod = m.Method
			continue
		case m.Dialect != s.form.Dialect:
			s.heard.otherAES = true
			continue
		case !s.window.Accept(m.Counter.Value()).Passes():
			s.heard.stale++
			continue
		}
		a.kind, rest = proto.ParseFromManager(m.Payload)
		a.size, a.counter = n, m.Counter
		return a, rest, nil
	}
}

// networkError tells a refusal, which the peer's host sends where nothing listens, and the end of a connection from other errors.
func networkError(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) { // the latter on Windows
		return errRefused
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errClosed, err)
	}
	return err
}
