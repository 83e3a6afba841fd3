package listen

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ossecd/proto"
)

// Stream is a connection of an agent, or of somebody who says to be one.
type Stream struct {
	streams *Streams
	conn    net.Conn
	raw     syscall.RawConn // nil where the system has none
	from    netip.AddrPort

	// Of the waiting goroutine, or of the worker whose turn it is.
	first   []byte             // takes what ends the waiting
	few     [readFirst]byte    // which is that, where the rest can be read without waiting
	heard   int                // bytes of it
	partial []byte             // of a packet that has not come whole; nil while there is none
	more    bool               // there may be more to read
	resume  chan bool          // whether to go on after a turn
	try     func(uintptr) bool // tryFirst
	err     error              // of it

	replaced atomic.Bool // the agent has another connection
	kept     atomic.Bool // an authentic message came

	mu       sync.Mutex // guards what is below
	closed   bool
	out      []byte // what the system had no room for
	flushing bool   // a goroutine writes it

	came             time.Time     // these are of Streams.waiting
	place, placeFrom *list.Element // nil where it does not wait
}

const (
	// maxBacklog bounds what waits for an agent that reads slowly. Past it messages are not sent.
	maxBacklog = 128 << 10
	// stallWithin is how long an agent may read nothing of what waits for it.
	stallWithin = 10 * time.Second
	// readFirst takes a usual event: then nothing more is asked for.
	readFirst = 512
	// readAtOnce is what is read at once where the system cannot be asked for what there is.
	readAtOnce = 4 << 10
)

var errBacklog = errors.New("the agent does not read what is sent to it")

func newStream(t *Streams, conn net.Conn) *Stream {
	s := &Stream{streams: t, conn: conn, resume: make(chan bool, 1)}
	if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		s.from = Unmap(at)
	}
	if c, ok := conn.(syscall.Conn); ok && canReadRaw {
		if raw, err := c.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.try, s.first = s.tryFirst, s.few[:]
	if s.raw == nil {
		s.first = make([]byte, readAtOnce)
	}
	return s
}

// From is where the connection comes from.
func (s *Stream) From() netip.AddrPort { return s.from }

// Keep says that an agent sent something authentic and fresh over the connection.
func (s *Stream) Keep() {
	if !s.kept.Swap(true) {
		s.streams.keep(s)
	}
}

// Replace says that the agent speaks over another connection now. What has come over this one is still taken, and then it is closed. It says
// whether it was open.
func (s *Stream) Replace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.replaced.Swap(true) {
		return false
	}
	s.conn.SetReadDeadline(time.Now())
	return true
}

// Replaced says whether the agent has another connection.
func (s *Stream) Replaced() bool { return s.replaced.Load() }

// Close ends the connection.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed, s.out = true, nil
	return s.conn.Close()
}

// run waits for what comes, and has it taken, until the connection ends.
func (s *Stream) run() {
	defer s.streams.leave(s)
	defer s.Close()
	for {
		err := s.wait()
		if err != nil && !(s.Replaced() && errors.Is(err, os.ErrDeadlineExceeded)) {
			return
		}
		s.streams.ready <- s
		keep := <-s.resume
		for keep && s.more && err != nil { // all that came before the other connection
			s.heard = 0
			s.streams.ready <- s
			keep = <-s.resume
		}
		if !keep || err != nil {
			return
		}
	}
}

// wait waits for the first bytes of a packet.
func (s *Stream) wait() error {
	s.heard = 0
	if s.raw == nil {
		n, err := s.conn.Read(s.first)
		s.heard = n
		if n > 0 {
			return nil
		}
		return err
	}
	if err := s.raw.Read(s.try); err != nil {
		return err
	}
	return s.err
}

// take has a handler take what came, and says whether the connection goes on.
func (s *Stream) take(h Handler, buf []byte) (keep bool) {
	have := append(append(buf[:0], s.partial...), s.first[:s.heard]...)
	var n int
	var err error
	if s.heard == 0 || s.heard == len(s.first) {
		n, err = s.read(buf[len(have):])
	}
	s.more = n == len(buf)-len(have)
	have = buf[:len(have)+n]
	now := time.Now()
	for {
		packet, rest, need, bad := proto.CutPacket(have)
		switch {
		case bad != nil:
			h.Malformed(s, bad)
			return false
		case packet != nil:
			have = rest
			if !h.Take(s, packet, now) {
				return false
			}
			continue
		case need > maxUnproven && !s.kept.Load():
			h.Malformed(s, proto.ErrTooLarge)
			return false
		}
		s.partial = append([]byte(nil), have...)
		return err == nil
	}
}

// WritePacket implements Writer: it never waits. What the system has no room for leaves later.
func (s *Stream) WritePacket(p []byte, _ netip.AddrPort, _ netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if len(s.out)+proto.PacketHeader+len(p) > maxBacklog && len(s.out) > 0 {
		return errBacklog
	}
	if s.flushing {
		s.out = proto.AppendPacket(s.out, p)
		return nil
	}
	b := packets.Get().(*[]byte)
	defer packets.Put(b)
	*b = proto.AppendPacket((*b)[:0], p)
	n, err := s.write(*b)
	if err != nil {
		return err
	}
	if n < len(*b) {
		s.out = append(s.out, (*b)[n:]...)
		s.flushing = true
		s.streams.running.Go(s.flush)
	}
	return nil
}

var packets = sync.Pool{New: func() any { return new([]byte) }}

// flush writes what waits.
func (s *Stream) flush() {
	for {
		s.mu.Lock()
		out := s.out
		s.out = nil
		if s.closed || len(out) == 0 {
			s.flushing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.conn.SetWriteDeadline(time.Now().Add(stallWithin))
		if _, err := s.conn.Write(out); err != nil { // a part of a packet may have left
			s.Close()
			return
		}
	}
}
