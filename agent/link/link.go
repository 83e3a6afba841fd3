// Package link keeps an agent in conversation with a manager: which one, and when. How bytes travel is up to the conversation.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/outbox"
	"ossecd/proto"
)

// ErrNotAnswered is how an agent with ExitWhenIdle ends that heard nothing from its manager for TimeReconnect.
var ErrNotAnswered = errors.New("the manager did not answer")

// Orders obey a manager (ossecd/agent/obey).
type Orders interface {
	Begin() // a new conversation
	Obey(m conversation.Message, say func(message []byte) error) (leave, remedy string)
	Results() <-chan func() // what is left to be done of an order
	Close()
}

// Config says which managers there are.
type Config struct {
	Managers      []string // HOST:PORT, as the log calls them
	Dialer        conversation.Dialer
	Outbox        *outbox.Reader
	Orders        Orders
	TimeReconnect time.Duration // the silence after which a manager is gone
	FailBack      time.Duration // with another manager than the first, more or less, after which that one is looked for; 0 stays
	ExitWhenIdle  bool          // end once all sources are idle and all they said has arrived
	Log           *slog.Logger
}

// Link goes through a list of managers and stays with the first that answers, as long as it does.
//
//	             ┌──────── round over: next manager ────────┐
//	             ▼                                          │
//	start ─▶ connecting ── socket there ─▶ handshake ───────┘
//	             ▲                            │ the first answer
//	             │                            ▼
//	             └── silence for ────────── online
//	                 TimeReconnect,
//	                 force_reconnect, the socket fails,
//	                 the manager closes it
//
// connecting: a name is resolved and a socket made. handshake: the manager is told hello at helloAt, then the
// socket is listened to for one of the pauses. online: events flow. In the other states events wait in the spool, or, without one, sources
// wait in Emit. What was on the way when the manager vanished is sent again from the spool; without one it is lost.
//
// All of it belongs to the goroutine of Run, with its one timer. Everything else talks to it by channels.
type Link struct {
	cfg Config
	log *slog.Logger
	out *outbox.Reader

	state   state
	manager int // index of the present one
	round   round
	heard   time.Time // the last sign of life; at first when Run began
	since   time.Time // online
	short   int       // conversations in a row that ended at once
	main    attempt   // to reach the present manager
	back    attempt   // to return to the first one
	backDue time.Time // the next step of that; zero while none is due, or a name is resolved

	draining time.Time // ExitWhenIdle: since when the sources are idle, zero while they are not
	timer    *time.Timer
	armed    time.Time // what the timer is set to, zero where it is not
}

type state uint8

const (
	connecting state = iota
	handshake
	online
)

// New makes a Link.
func New(cfg Config) *Link {
	return &Link{cfg: cfg, log: cfg.Log, out: cfg.Outbox, round: round{said: make(map[string]bool)}}
}

// Name is its first manager's.
func (l *Link) Name() string { return l.cfg.Managers[0] }

// Run returns nil when ctx has ended or, with ExitWhenIdle, when all was sent and answered; or ErrNotAnswered.
func (l *Link) Run(ctx context.Context) error {
	l.timer = time.NewTimer(time.Hour)
	l.heard = time.Now()
	defer l.end()
	l.connect(ctx)
	return l.loop(ctx)
}

// loop is Run without its beginning and its end.
func (l *Link) loop(ctx context.Context) error {
	for {
		l.arm()
		l.out.Taking(l.state == online && l.main.conv.Answering())
		if l.state == online && l.main.conv.Ready() {
			select {
			case <-ctx.Done():
				l.leave()
				return nil
			case m := <-l.main.conv.Inbox():
				l.hear(ctx, m)
			case <-l.timer.C:
				l.armed = time.Time{}
			default:
				if l.main.conv.Send() {
					continue
				}
			}
		} else {
			select {
			case <-ctx.Done():
				l.leave()
				return nil
			case batch := <-l.out.Handed():
				l.out.Take(batch)
			case <-l.out.Withdrawn():
				l.out.GiveBack()
			case m := <-inbox(l.main.conv):
				l.hear(ctx, m)
			case d := <-l.main.dialed:
				l.dialed(ctx, d)
			case d := <-l.back.dialed:
				l.backDialed(ctx, d)
			case m := <-inbox(l.back.conv):
				l.hearFirst(m)
			case rest := <-l.cfg.Orders.Results():
				rest()
			case <-l.out.Idled():
			case <-l.out.Filled():
			case <-l.timer.C:
				l.armed = time.Time{}
			}
		}
		if over, err := l.tick(ctx); over || err != nil {
			l.leave()
			return err
		}
	}
}

// inbox is nil without a conversation.
func inbox(c conversation.Conversation) <-chan conversation.Message {
	if c == nil {
		return nil
	}
	return c.Inbox()
}

// end lets go of everything. Whoever waits in Emit is told.
func (l *Link) end() {
	l.out.Close()
	l.timer.Stop()
	l.back.stop()
	l.hangUp()
	l.cfg.Orders.Close()
}

// leave says the last words.
func (l *Link) leave() {
	if l.state == online {
		l.main.conv.Leave()
	}
}

// hear takes a message of the manager.
func (l *Link) hear(ctx context.Context, m conversation.Message) {
	now := time.Now()
	heard := l.main.conv.Hear(now, m)
	switch heard {
	case conversation.Nothing:
		return
	case conversation.Ended:
		l.ended(ctx, now, string(m.Text))
		return
	case conversation.Replaced:
		l.offline(ctx, "another program has taken the manager's place", "none needed")
		return
	}
	l.heard = now
	switch {
	case heard == conversation.Accepted:
		l.welcome(now)
	case heard == conversation.Known:
	case l.state == online:
		if why, remedy := l.cfg.Orders.Obey(m, l.main.conv.Say); why != "" {
			l.offline(ctx, why, remedy)
		}
	case m.Kind == proto.ManagerRemoved:
		l.complain("the manager removed this agent", "remedy", conversation.RemovedRemedy)
	case m.Kind == proto.ManagerRequest, m.Kind == proto.ManagerError, m.Kind == proto.ManagerOther:
		l.cfg.Orders.Obey(m, l.main.conv.Say) // others are for agents that are online
	}
}

// tick does what is due. over says that the agent has nothing left to do.
func (l *Link) tick(ctx context.Context) (over bool, err error) {
	now := time.Now()
	silence := now.Sub(l.heard)
	switch {
	case l.cfg.ExitWhenIdle && silence >= l.cfg.TimeReconnect:
		return false, l.notAnswered()
	case l.state != online:
		if !l.round.due.IsZero() && !now.Before(l.round.due) {
			l.hello(ctx, now)
		}
	case silence >= l.cfg.TimeReconnect:
		l.offline(ctx, "the manager is silent", "check that it runs and that no firewall is in the way; events are kept until a manager answers")
	default:
		l.failBack(ctx, now)
		l.keep(ctx, now)
	}
	if !l.cfg.ExitWhenIdle {
		return false, nil
	}
	switch {
	case !l.out.Idle():
		l.draining = time.Time{}
	case l.state == online && l.main.conv.AllArrived():
		return true, nil
	case l.draining.IsZero():
		l.draining = now
		if l.state == online {
			l.keep(ctx, now) // asks
		}
	case now.Sub(l.draining) >= l.cfg.TimeReconnect:
		return false, l.notAnswered()
	}
	return false, nil
}

// keep has the conversation do what is due.
func (l *Link) keep(ctx context.Context, now time.Time) {
	if err := l.main.conv.Keep(now, !l.draining.IsZero()); err != nil {
		l.offline(ctx, err.Error(), "look at its network; a new socket is tried")
	}
}

func (l *Link) notAnswered() error {
	return fmt.Errorf("%w within %v; ossecd send-test with the same key says what to check, and so does the manager's log", ErrNotAnswered, l.cfg.TimeReconnect)
}

// arm sets the timer to the next thing that is due.
func (l *Link) arm() {
	at := l.round.due
	if l.state == online {
		at = earliest(l.main.conv.Due(), l.backDue, l.heard.Add(l.cfg.TimeReconnect))
	}
	if l.cfg.ExitWhenIdle {
		at = earliest(at, l.heard.Add(l.cfg.TimeReconnect))
	}
	if !l.draining.IsZero() {
		at = earliest(at, l.draining.Add(l.cfg.TimeReconnect))
	}
	switch {
	case at.Equal(l.armed):
	case at.IsZero():
		l.timer.Stop()
		l.armed = at
	default:
		l.timer.Reset(time.Until(at))
		l.armed = at
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
