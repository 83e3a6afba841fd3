package agent

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"ossecd/agent/conversation"
	"ossecd/proto"
)

// failback looks, while the session is with a lower manager of the list, whether the first one is there again. It says hello
// to it over a socket of its own; at the answer the session moves there. Nothing stops meanwhile.
//
//	       FailBack, more or less          hello, twice at most        ack
//	(idle) ──────────────────────▶ dialing ─────────────────▶ asking ──────▶ the session is with the first
//	   ▲                              │ no socket               │ no answer
//	   └──────────────────────────────┴─────────────────────────┘
type failback struct {
	due    time.Time // of the next step; zero while none is due, or a name is resolved
	hellos int
	dialed chan dialed
	cancel context.CancelFunc // of the resolution under way, nil without one
	conn   net.Conn           // asking
	proves bool               // a keepalive may be sent for an acknowledgement with an old count
	recv   *receiver          // likewise
}

// failBackLater sets the next try, where there is a better manager than the present one.
func (s *session) failBackLater(now time.Time) {
	s.back.due = time.Time{}
	if d := s.cfg.FailBack; d > 0 && s.manager > 0 {
		// Drawn from three quarters to five quarters, so that not all agents come back at once.
		s.back.due = now.Add(d*3/4 + rand.N(d/2))
	}
}

// failBack does what is due.
func (s *session) failBack(ctx context.Context, now time.Time) {
	b := &s.back
	switch {
	case b.due.IsZero() || now.Before(b.due):
	case b.conn == nil:
		b.due, b.hellos = time.Time{}, 0
		b.dialed = make(chan dialed, 1)
		ctx, b.cancel = context.WithTimeout(ctx, dialWithin)
		go func() {
			conn, err := s.cfg.Dial(ctx, "udp", s.managers[0])
			b.dialed <- dialed{conn, err}
		}()
	case b.hellos < failBackHellos:
		s.hello(now)
	default:
		s.log.Debug("the first manager does not answer yet", "manager", s.managers[0])
		s.stopFailBack()
		s.failBackLater(now)
	}
}

// hello sends the startup message to the first manager.
func (s *session) hello(now time.Time) {
	if err := s.counts.sender.Rebase(); err != nil {
		s.limited.Warn("the sending counter is not saved", "err", err)
	}
	s.sealed.write(s.back.conn, []byte(proto.Startup)) // where it fails nobody answers
	s.back.hellos++
	s.back.proves = true
	s.back.due = now.Add(startupAt[1])
}

// failBackDialed goes on once there is a socket to the first manager, or none.
func (s *session) failBackDialed(ctx context.Context, d dialed) {
	s.back.cancel()
	s.back.cancel, s.back.dialed = nil, nil
	now := time.Now()
	if d.err != nil {
		s.failBackLater(now)
		return
	}
	s.back.conn, s.back.recv = d.conn, s.listen(ctx, d.conn, 0)
	s.hello(now)
}

// failBackAnswer takes a message of the first manager: the session moves there at an ack.
func (s *session) failBackAnswer(in conversation.Message) {
	if in.Sign == conversation.OldAck && s.back.proves { // as askForProof
		s.back.proves = false
		s.about.nonce = s.back.recv.talk.nonce
		s.about.forget()
		s.sealed.write(s.back.conn, s.about.keepalive(s.back.conn, s.orders.Sums()))
		s.about.nonce = s.recv.talk.nonce
		s.about.forget()
	}
	if in.Sign != conversation.Said {
		return
	}
	if in.Kind != proto.ManagerAck {
		return
	}
	s.leave()
	conn, recv := s.back.conn, s.back.recv
	s.back = failback{}
	s.hangUp()
	s.takeBack()
	s.log.Info("the first manager is back", "manager", s.managers[0], "before", s.managers[s.manager])
	now := time.Now()
	s.useSocket(conn, recv)
	s.manager = 0
	s.flight, s.heard = flight{}, now
	s.welcome(now)
}

// failBackInbox is where messages of the first manager are put, nil without a socket to it.
func (s *session) failBackInbox() <-chan conversation.Message {
	if s.back.recv == nil {
		return nil
	}
	return s.back.recv.inbox
}

// stopFailBack lets go of what the look at the first manager holds.
func (s *session) stopFailBack() {
	b := &s.back
	if b.cancel != nil {
		b.cancel()
		if d := <-b.dialed; d.conn != nil {
			d.conn.Close()
		}
	}
	if b.recv != nil {
		b.recv.stop()
	}
	s.back = failback{}
}
