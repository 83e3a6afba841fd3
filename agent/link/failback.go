package link

import (
	"context"
	"math/rand/v2"
	"time"

	"ossecd/agent/conversation"
)

// firstHellos is how often the first manager is told hello each time it is looked for.
const firstHellos = 2

// failback looks, while the link is with a lower manager of the list, whether the first one is there again. It says hello
// in a conversation of its own; at the answer the link moves there. Nothing stops meanwhile.
//
//	       FailBack, more or less          hello, twice at most        ack
//	(idle) ──────────────────────▶ dialing ─────────────────▶ asking ──────▶ the link is with the first
//	   ▲                              │ no socket               │ no answer
//	   └──────────────────────────────┴─────────────────────────┘
type failback struct {
	due    time.Time // of the next step; zero while none is due, or a name is resolved
	hellos int
	dial   dial
	conv   conversation.Conversation // asking
}

// failBackLater sets the next try, where there is a better manager than the present one.
func (l *Link) failBackLater(now time.Time) {
	l.back.due = time.Time{}
	if d := l.cfg.FailBack; d > 0 && l.manager > 0 {
		// Drawn from three quarters to five quarters, so that not all agents come back at once.
		l.back.due = now.Add(d*3/4 + rand.N(d/2))
	}
}

// failBack does what is due.
func (l *Link) failBack(ctx context.Context, now time.Time) {
	b := &l.back
	switch {
	case b.due.IsZero() || now.Before(b.due):
	case b.conv == nil:
		*b = failback{dial: newDial()}
		b.dial.start(ctx, l.cfg.Dialer, 0, 0)
	case b.hellos < firstHellos:
		l.helloFirst(now)
	default:
		l.log.Debug("the first manager does not answer yet", "manager", l.cfg.Managers[0])
		l.stopFailBack()
		l.failBackLater(now)
	}
}

// helloFirst says hello to the first manager.
func (l *Link) helloFirst(now time.Time) {
	l.back.conv.Hello(now)
	l.back.hellos++
	l.back.due = now.Add(helloAt[1])
}

// backDialed goes on once there is a socket to the first manager, or none.
func (l *Link) backDialed(ctx context.Context, d dialed) {
	l.back.dial.ended()
	now := time.Now()
	if d.err != nil {
		l.failBackLater(now)
		return
	}
	l.back.conv = d.conv
	l.back.conv.Open(ctx, true)
	l.helloFirst(now)
}

// hearFirst takes a message of the first manager: the link moves there at the first answer.
func (l *Link) hearFirst(m conversation.Message) {
	now := time.Now()
	switch l.back.conv.Hear(now, m) {
	case conversation.Accepted:
	case conversation.Ended:
		l.stopFailBack()
		l.failBackLater(now)
		return
	default:
		return
	}
	l.leave()
	first := l.back.conv
	l.back = failback{}
	l.hangUp()
	l.rewind()
	l.log.Info("the first manager is back", "manager", l.cfg.Managers[0], "before", l.name())
	now = time.Now()
	l.conv, l.manager, l.heard = first, 0, now
	l.welcome(now)
}

// stopFailBack lets go of what the look at the first manager holds.
func (l *Link) stopFailBack() {
	l.back.dial.stop()
	if l.back.conv != nil {
		l.back.conv.Close()
	}
	l.back = failback{}
}
