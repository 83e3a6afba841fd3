package sendtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"ossecd/proto"
)

// line is a socket of a load, with the agents that speak over it. A manager reads all datagrams of a line from one
// socket of its own, in their order: an answer to the last one shows that it has taken in those before.
//
// Answers do not name the agent that they are for, so one agent of a line at a time asks for one. After the
// handshakes that is always the first.
type line struct {
	conn     net.Conn
	agents   []*session
	unproven bool // events left after the last keepalive
}

// asker is the agent that speaks for the line.
func (ln *line) asker() *session { return ln.agents[0] }

// use gives the agents of the line the bench of the goroutine that is to use them.
func (ln *line) use(b *bench) {
	for _, s := range ln.agents {
		s.bench = b
	}
}

// hello says hello for each agent of the line, one after the other.
func (l *load) hello(ctx context.Context, ln *line) error {
	for _, s := range ln.agents {
		s.opening = proto.NewCipher(s.key.CipherKey())
		if _, err := s.startup(); err != nil {
			return failed(ctx, s, false, err)
		}
		if err := l.await(ctx, s, (*session).startup); err != nil {
			return failed(ctx, s, false, err)
		}
		if s != ln.asker() {
			s.opening = nil // nothing will come for it, and its key schedule is large
		}
		l.greeted.Add(1)
	}
	return nil
}

// ask sends a keepalive on a line; prove waits for the answer.
func (l *load) ask(ctx context.Context, ln *line) error {
	ln.unproven = false
	if _, err := ln.asker().keepalive(); err != nil {
		return failed(ctx, ln.asker(), true, err)
	}
	return nil
}

func (l *load) prove(ctx context.Context, ln *line) error {
	if err := l.await(ctx, ln.asker(), (*session).keepalive); err != nil {
		return failed(ctx, ln.asker(), true, err)
	}
	return nil
}

// await waits for an ack to what was sent, and sends again while there is none.
func (l *load) await(ctx context.Context, s *session, again func(*session) (sent, error)) error {
	end := time.Now().Add(l.timeout)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		until := time.Now().Add(pause)
		if until.After(end) {
			until = end
		}
		_, err := s.ack(ctx, until)
		if err == nil {
			l.acked.Add(1)
			return nil
		}
		if !errors.Is(err, errNoAnswer) {
			return err
		}
		if !time.Now().Before(end) {
			return fmt.Errorf("%w from %v within %v", errNoAnswer, s.conn.RemoteAddr(), l.timeout)
		}
		if _, err := again(s); err != nil {
			return err
		}
	}
}
