package link

import (
	"context"
	"math/rand/v2"
	"time"

	"ossecd/agent/conversation"
)

var (
	// helloAt is when one manager is told hello, counted from the first hello of a round, as the stock agent does.
	helloAt = [...]time.Duration{0, 6 * time.Second, 10 * time.Second, 15 * time.Second, 21 * time.Second}

	// roundPause is the pause after a round before the next manager of the list is tried, and after the first
	// pass through the whole list. The socket still listens meanwhile.
	roundPause = 2 * time.Second

	// passPauses are the pauses after the second pass, the third, and all later ones. Each is drawn from three
	// quarters to five quarters of it, so that the agents of a manager that comes back do not all speak at once.
	passPauses = [...]time.Duration{20 * time.Second, time.Minute}
)

// round is one attempt to reach the present manager.
type round struct {
	number int             // rounds since the last manager was lost
	began  time.Time       // its first hello
	hellos int             // how often, or that nobody was reached
	due    time.Time       // of its next step, zero while a name is resolved
	said   map[string]bool // what was complained about since a manager was last there
}

// dialWithin bounds the resolution of a name.
const dialWithin = 10 * time.Second

// attempt is one to reach a manager, and the conversation that comes of it.
type attempt struct {
	dialed chan dialed               // has room for the one result
	cancel context.CancelFunc        // of what will be dialed, nil once it was
	conv   conversation.Conversation // nil until then
	hellos int                       // said in it
}

type dialed struct {
	conv conversation.Conversation
	err  error
}

// start begins an attempt: it resolves the manager's name and makes a socket, in the background.
func (a *attempt) start(ctx context.Context, dialer conversation.Dialer, manager, pass int) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	result := make(chan dialed, 1)
	*a = attempt{dialed: result, cancel: cancel}
	go func() {
		conv, err := dialer.Dial(ctx, manager, pass)
		result <- dialed{conv, err}
	}()
}

// open opens the conversation that was dialed, if there is one.
func (a *attempt) open(ctx context.Context, d dialed, tentative bool) {
	a.cancel()
	a.cancel, a.conv = nil, d.conv
	if a.conv != nil {
		a.conv.Open(ctx, tentative)
	}
}

// stop ends the attempt, or the conversation that came of it.
func (a *attempt) stop() {
	if a.cancel != nil {
		a.cancel()
		a.conv = (<-a.dialed).conv
	}
	if a.conv != nil {
		a.conv.Close()
	}
	*a = attempt{}
}

// connect begins a round: it resolves the manager's name and makes a socket, in the background.
func (l *Link) connect(ctx context.Context) {
	l.rewind()
	l.round.hellos = 0
	l.redial(ctx)
}

// redial goes on with a round where there is no conversation.
func (l *Link) redial(ctx context.Context) {
	l.state, l.round.due = connecting, time.Time{}
	l.main.start(ctx, l.cfg.Dialer, l.manager, l.pass())
}

// rewind has what no answer covered sent once more.
func (l *Link) rewind() {
	if n := l.out.Rewind(); n > 0 {
		l.log.Info("events that were not confirmed are sent again", "count", n)
	}
}

// pass counts how often the whole list of managers was tried since one was last there.
func (l *Link) pass() int { return l.round.number / len(l.cfg.Managers) }

// dialed goes on with a round once there is a socket, or none.
func (l *Link) dialed(ctx context.Context, d dialed) {
	l.main.open(ctx, d, false)
	now, r := time.Now(), &l.round
	if r.hellos == 0 {
		r.began = now
	}
	if d.err != nil {
		l.complain("no connection to the manager", "err", d.err, "remedy", "check --manager, and this host's network and name service; ossecd keeps trying")
		r.hellos++
		l.tryAgain(now)
		return
	}
	l.state, r.due = handshake, now
}

// tryAgain goes on with a round in which nobody was reached: with the next of several managers, and with the only one as if it had been
// told hello.
func (l *Link) tryAgain(now time.Time) {
	r := &l.round
	if r.hellos < len(helloAt) && len(l.cfg.Managers) == 1 {
		l.state, r.due = connecting, r.began.Add(helloAt[r.hellos])
		return
	}
	l.state, r.hellos, r.due = connecting, len(helloAt), now.Add(l.pause())
}

// steadyAfter is how long a conversation has to have lasted for its end to be followed by a new one at once; after a shorter one there is
// a pause, and then it is the next manager's turn: so a manager that closes every connection has no agent come back without end.
const steadyAfter = 10 * time.Second

// maxShort is how often the pause doubles.
const maxShort = 5

// ended goes on after the manager closed the connection.
func (l *Link) ended(ctx context.Context, now time.Time, why string) {
	const remedy = "look at the manager's log. Most often it was stopped or restarted, or its key for this agent is another one, or a second host uses this key"
	if l.state != online {
		l.complain("the manager closes the connection before it answers", "err", why, "remedy", remedy)
		l.hangUp()
		l.tryAgain(now)
		return
	}
	if now.Sub(l.since) >= steadyAfter {
		l.short = 0
		l.offline(ctx, why, remedy)
		return
	}
	l.lost(why, remedy)
	l.state, l.round.hellos = connecting, len(helloAt)
	wait := min(roundPause<<l.short, passPauses[len(passPauses)-1])
	l.short = min(l.short+1, maxShort)
	l.round.due = now.Add(wait*3/4 + rand.N(wait/2))
}

// hello says hello to the manager, or goes on to the next one.
func (l *Link) hello(ctx context.Context, now time.Time) {
	r := &l.round
	if r.hellos == len(helloAt) {
		l.hangUp()
		r.number++
		l.manager = (l.manager + 1) % len(l.cfg.Managers)
		l.connect(ctx)
		return
	}
	if l.main.conv == nil {
		l.redial(ctx)
		return
	}
	if l.main.hellos > 0 {
		l.complain("the manager does not answer", "remedy", "run ossecd send-test with the same key, which tells more. Most often: a different key "+
			"there, a key for another address than the manager sees, nothing listening, a firewall, or a count that the manager refuses (its log says so)")
	}
	l.log.Debug("startup", "manager", l.name(), "try", r.hellos+1)
	l.main.conv.Hello(now)
	l.main.hellos++
	if r.hellos++; r.hellos < len(helloAt) {
		r.due = r.began.Add(helloAt[r.hellos])
	} else {
		r.due = now.Add(l.pause())
	}
}

// pause is how long to wait after this round.
func (l *Link) pause() time.Duration {
	if pass := l.pass(); pass > 0 && (l.round.number+1)%len(l.cfg.Managers) == 0 {
		p := passPauses[min(pass, len(passPauses))-1]
		return p*3/4 + rand.N(p/2)
	}
	return roundPause
}

// welcome goes online on the manager's first answer.
func (l *Link) welcome(now time.Time) {
	l.log.Info("connected", "manager", l.name(), "addr", l.main.conv.Addr())
	clear(l.round.said)
	l.state, l.round.number, l.since = online, 0, now
	l.failBackLater(now)
	l.main.conv.Begin(now)
}

// offline starts over, with the same manager first.
func (l *Link) offline(ctx context.Context, why, remedy string) {
	l.lost(why, remedy)
	l.connect(ctx)
}

// lost ends all that goes on while the link is online.
func (l *Link) lost(why, remedy string) {
	l.log.Warn("offline", "reason", why, "manager", l.name(), "silent", time.Since(l.heard).Round(time.Second), "remedy", remedy)
	l.back.stop()
	l.hangUp()
}

// hangUp ends the conversation, if there is one.
func (l *Link) hangUp() {
	l.main.stop()
	l.cfg.Orders.Begin()
}

// name is what the log calls the present manager.
func (l *Link) name() string { return l.cfg.Managers[l.manager] }

// complain logs what keeps us from a manager, once for each manager until one answers.
func (l *Link) complain(what string, attrs ...any) {
	if key := what + l.name(); !l.round.said[key] {
		l.round.said[key] = true
		l.log.Warn(what, append([]any{"manager", l.name()}, attrs...)...)
	}
}
