package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/time/rate"

	"ossecd/agent/conversation"
	"ossecd/agent/obey"
	"ossecd/agent/outbox"
	"ossecd/keys"
	"ossecd/keys/limitlog"
)

// session is the agent's side of the channel, and the owner of all its state.
//
//	             ┌──────── round over: next manager ────────┐
//	             ▼                                          │
//	start ─▶ connecting ── socket there ─▶ greeting ────────┘
//	             ▲                            │ ack
//	             │                            ▼
//	             └── silence for ────────── online
//	                 TimeReconnect,
//	                 force_reconnect, the socket fails
//
// connecting: a name is resolved and a socket made. greeting: the startup message is sent at startupAt, then the
// socket is listened to for one of the pauses. online: events flow while the flight has room, and keepalives are
// sent. In the other states events wait in the spool, or, without one, sources wait in Emit. What was on the way when the
// manager vanished is sent again from the spool; without one it is lost.
//
// All methods are for the goroutine of run. Everything else talks to it by channels.
type session struct {
	cfg      *Config
	log      *slog.Logger
	key      keys.Key
	managers []string // HOST:PORT
	counts   *counts
	refused  []*refusals // by manager

	// From and to the sources.
	out     *outbox.Reader
	plain   []byte
	runName string // names the run of a manager that is ours
	nuls    nuls

	state  state
	timer  *time.Timer
	armed  time.Time // what the timer is set to, zero where it is not
	dialed chan dialed
	dial   context.CancelFunc // of the attempt under way, nil without one
	conn   net.Conn           // in greeting and online
	recv   *receiver          // likewise
	sealed *sealed
	flight flight

	manager     int             // index of the present one
	rounds      int             // rounds since the last manager was lost
	began       time.Time       // of this round
	greeted     int             // startup messages sent in this round
	mayProve    bool            // a keepalive may be sent for an acknowledgement with an old count
	nextAnother time.Time       // when it may be found again that another program has taken the manager's place
	wake        time.Time       // connecting, greeting: when the next step is due, zero while a name is resolved
	said        map[string]bool // what was complained about since a manager was last there
	started     bool            // the event of the agent's start was sent

	heard     time.Time // the last sign of life; at first when run began
	back      failback
	keepalive time.Time // when the next is due
	asked     time.Time // when the first unanswered keepalive was sent, zero if all were answered
	repeats   int       // how often it was repeated
	waiting   bool      // nothing more is sent until a keepalive is answered
	probeDue  time.Time // when a keepalive is due for what was sent since the last one, zero for never
	failing   time.Time // since when the system takes no datagrams, zero while it does
	retry     time.Time // nothing is sent before then
	draining  time.Time // ExitWhenIdle: since when the sources are idle, zero while they are not

	orders  *obey.Orders
	resend  *rate.Limiter // of what a new run of the manager did not get
	about   about
	speaks  time.Time // when a keepalive is said on demand again
	limited *limitlog.Logger
	pace    pace
}

type state uint8

const (
	connecting state = iota
	greeting
	online
)

// dialed is the outcome of an attempt to make a socket.
type dialed struct {
	conn net.Conn
	err  error
}

func newSession(cfg *Config, key keys.Key, counts *counts, log *slog.Logger) (*session, error) {
	s := &session{
		cfg: cfg, log: log, key: key, counts: counts,
		dialed: make(chan dialed, 1), said: map[string]bool{},
		about:   about{cfg: cfg},
		resend:  rate.NewLimiter(rate.Every(resendEvery), resendBurst),
		pace:    newPace(cfg),
		limited: limitlog.New(log),
	}
	for _, m := range cfg.Managers {
		address, err := managerAddress(m)
		if err != nil {
			return nil, err
		}
		s.managers = append(s.managers, address)
		s.refused = append(s.refused, &refusals{log: log, manager: address})
	}
	var err error
	s.sealed, err = newSealed(cfg, key, counts.sender)
	return s, err
}

// run is the session. It returns nil when ctx has ended or, with ExitWhenIdle, when all was sent and answered;
// or ErrNotAnswered.
func (s *session) run(ctx context.Context) error {
	s.timer = time.NewTimer(time.Hour)
	s.heard = time.Now()
	defer s.end()
	s.connect(ctx)
	return s.loop(ctx)
}

// loop is run without its beginning and its end.
func (s *session) loop(ctx context.Context) error {
	for {
		s.arm()
		s.out.Taking(s.state == online && s.repeats < 2)
		if s.out.Next() != nil && s.mayEmit() {
			select {
			case <-ctx.Done():
				s.leave()
				return nil
			case in := <-s.inbox():
				s.receive(ctx, in)
			case <-s.timer.C:
				s.armed = time.Time{}
			default:
				s.emit()
				if s.mayEmit() {
					continue
				}
			}
		} else {
			select {
			case <-ctx.Done():
				s.leave()
				return nil
			case batch := <-s.out.Handed():
				s.out.Take(batch)
			case <-s.out.Withdrawn():
				s.out.GiveBack()
			case in := <-s.inbox():
				s.receive(ctx, in)
			case d := <-s.dialed:
				s.dialEnded(ctx, d)
			case d := <-s.back.dialed:
				s.failBackDialed(ctx, d)
			case in := <-s.failBackInbox():
				s.failBackAnswer(in)
			case done := <-s.orders.Results():
				done()
			case <-s.out.Idled():
			case <-s.out.Filled():
			case <-s.timer.C:
				s.armed = time.Time{}
			}
		}
		if over, err := s.tick(ctx); over || err != nil {
			s.leave()
			return err
		}
	}
}

// end lets go of everything. Whoever waits in Emit is told.
func (s *session) end() {
	s.out.Close()
	s.timer.Stop()
	s.stopFailBack()
	s.hangUp()
	if s.dial != nil {
		s.dial()
		if d := <-s.dialed; d.conn != nil {
			d.conn.Close()
		}
	}
	s.orders.Close()
}

// inbox is where the receiver puts messages, nil without one.
func (s *session) inbox() <-chan conversation.Message {
	if s.recv == nil {
		return nil
	}
	return s.recv.inbox
}

// tick does what is due. over says that the agent has nothing left to do.
func (s *session) tick(ctx context.Context) (over bool, err error) {
	now := time.Now()
	silence := now.Sub(s.heard)
	s.pace.look(now)
	switch {
	case s.cfg.ExitWhenIdle && silence >= s.cfg.TimeReconnect:
		return false, s.notAnswered()
	case s.state != online:
		if !s.wake.IsZero() && !now.Before(s.wake) {
			s.greet(ctx, now)
		}
	case silence >= s.cfg.TimeReconnect:
		s.offline(ctx, "the manager is silent", "see whether it runs and whether a firewall came between; what sources say is kept until one answers")
	default:
		s.failBack(ctx, now)
		s.keepUp(ctx, now)
	}
	if !s.cfg.ExitWhenIdle {
		return false, nil
	}
	switch {
	case !s.out.Idle():
		s.draining = time.Time{}
	case s.state == online && s.flight.allCovered():
		return true, nil
	case s.draining.IsZero():
		s.draining = now
		if s.state == online {
			s.keepUp(ctx, now) // asks
		}
	case now.Sub(s.draining) >= s.cfg.TimeReconnect:
		return false, s.notAnswered()
	}
	return false, nil
}

func (s *session) notAnswered() error {
	return fmt.Errorf("%w within %v; ossecd send-test with the same key says what to check, and so does the manager's log", ErrNotAnswered, s.cfg.TimeReconnect)
}

// arm sets the timer to the next thing that is due.
func (s *session) arm() {
	at := s.wake
	if s.state == online {
		at = earliest(s.keepalive, s.repeatDue())
		at = earliest(at, s.probeDue, s.back.due, s.pace.until)
		if !s.retry.IsZero() {
			at = s.retry
		}
		at = earliest(at, s.heard.Add(s.cfg.TimeReconnect))
	}
	if s.cfg.ExitWhenIdle {
		at = earliest(at, s.heard.Add(s.cfg.TimeReconnect))
	}
	if !s.draining.IsZero() {
		at = earliest(at, s.draining.Add(s.cfg.TimeReconnect))
	}
	switch {
	case at.Equal(s.armed):
	case at.IsZero():
		s.timer.Stop()
		s.armed = at
	default:
		s.timer.Reset(time.Until(at))
		s.armed = at
	}
}

// earliest is the first of the times that are not zero.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if first.IsZero() || (!t.IsZero() && t.Before(first)) {
			first = t
		}
	}
	return first
}
