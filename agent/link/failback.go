package link

import (
	"context"
	"math/rand/v2"
	"time"

	"ossecd/agent/conversation"
)

// firstHellos is how often the first manager is told hello each time it is looked for.
const firstHellos = 2

// While the link is with a lower manager of the list, it looks now and then whether the first one is there again. It says hello in a
// conversation of its own; at the answer the link moves there. Nothing stops meanwhile.
//
//	       FailBack, more or less          hello, twice at most        first answer
//	(idle) ──────────────────────▶ dialing ─────────────────▶ asking ───────────────▶ the link is with the first
//	   ▲                              │ no socket               │ no answer
//	   └──────────────────────────────┴─────────────────────────┘

// failBackLater ends a try, and sets the next one where there is a better manager than the present one.
func (l *Link) failBackLater(now time.Time) {
	l.back.stop()
	l.backDue = time.Time{}
	if d := l.cfg.FailBack; d > 0 && l.manager > 0 {
		// Drawn from three quarters to five quarters, so that not all agents come back at once.
		l.backDue = now.Add(d*3/4 + rand.N(d/2))
	}
}

// failBack does what is due.
func (l *Link) failBack(ctx context.Context, now time.Time) {
	b := &l.back
	switch {
	case l.backDue.IsZero() || now.Before(l.backDue):
	case b.conv == nil:
		l.backDue = time.Time{}
		b.start(ctx, l.cfg.Dialer, 0, 0)
	case b.hellos < firstHellos:
		l.helloFirst(now)
	default:
		l.log.Debug("the first manager does not answer yet", "manager", l.cfg.Managers[0])
		l.failBackLater(now)
	}
}

// helloFirst says hello to the first manager.
func (l *Link) helloFirst(now time.Time) {
	l.back.conv.Hello(now)
	l.back.hellos++
	l.backDue = now.Add(helloAt[1])
}

// backDialed goes on once there is a socket to the first manager, or none.
func (l *Link) backDialed(ctx context.Context, d dialed) {
	l.back.open(ctx, d, true)
	now := time.Now()
	if d.err != nil {
		l.failBackLater(now)
		return
	}
	l.helloFirst(now)
}

// hearFirst takes a message of the first manager: the link moves there at the first answer.
func (l *Link) hearFirst(m conversation.Message) {
	now := time.Now()
	switch l.back.conv.Hear(now, m) {
	case conversation.Accepted:
	case conversation.Ended:
		l.failBackLater(now)
		return
	default:
		return
	}
	l.leave()
	l.hangUp()
	l.main, l.back = l.back, attempt{}
	l.rewind()
	l.log.Info("the first manager is back", "manager", l.cfg.Managers[0], "before", l.name())
	now = time.Now()
	l.manager, l.heard = 0, now
	l.welcome(now)
}
