package agent

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/obey"
	"ossecd/proto"
)

// connect begins a round: it resolves the manager's name and makes a socket, in the background.
func (s *session) connect(ctx context.Context) {
	s.takeBack()
	s.state, s.wake = connecting, time.Time{}
	ctx, s.dial = context.WithTimeout(ctx, dialWithin)
	address, dial := s.managers[s.manager], s.cfg.Dial
	// A name can have addresses of both families with the manager on one of them alone. Since a datagram
	// socket is made whether or not anyone is there, every other pass asks for IPv4.
	onlyIPv4 := s.pass()%2 == 1
	go func() {
		if onlyIPv4 {
			if conn, err := dial(ctx, "udp4", address); err == nil {
				s.dialed <- dialed{conn, nil}
				return
			}
		}
		conn, err := dial(ctx, "udp", address)
		s.dialed <- dialed{conn, err}
	}()
}

// pass counts how often the whole list of managers was tried since one was last there.
func (s *session) pass() int { return s.rounds / len(s.managers) }

// dialEnded goes on with a round once there is a socket, or none.
func (s *session) dialEnded(ctx context.Context, d dialed) {
	s.dial()
	s.dial = nil
	now := time.Now()
	if d.err != nil {
		s.complain("no connection to the manager", "err", d.err, "remedy", "check --manager, and this host's network and name service; ossecd keeps trying")
		s.greeted = len(startupAt)
		s.wake = now.Add(s.pause())
		return
	}
	s.useSocket(d.conn, s.listen(ctx, d.conn, s.manager))
	s.state, s.flight = greeting, flight{}
	s.began, s.greeted, s.wake = now, 0, now
}

// useSocket has the session speak over a socket from now on.
func (s *session) useSocket(conn net.Conn, recv *receiver) {
	s.conn, s.recv = conn, recv
	s.about.nonce = recv.talk.nonce
	s.about.forget()
}

// listen starts the receiver of a socket to one of the managers.
func (s *session) listen(ctx context.Context, conn net.Conn, manager int) *receiver {
	r := &receiver{
		conn: conn, inbox: make(chan conversation.Message, inboxSize), closing: make(chan struct{}), ended: make(chan struct{}),
		method: s.cfg.Method, dialect: s.cfg.Dialect, cipher: s.sealed.cipher,
		slot: s.counts.slots[manager], refused: s.refused[manager], opener: proto.NewOpener(),
		claims: s.counts.claims, talk: newTalk(), manager: s.managers[manager],
	}
	// Last words must not hold up the stop.
	r.unhook = context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Now().Add(stopWithin)) })
	go r.run()
	return r
}

// greet sends the startup message, or goes on to the next manager.
func (s *session) greet(ctx context.Context, now time.Time) {
	if s.greeted == len(startupAt) {
		s.hangUp()
		s.rounds++
		s.manager = (s.manager + 1) % len(s.managers)
		s.connect(ctx)
		return
	}
	if err := s.counts.sender.Rebase(); err != nil {
		s.limited.Warn("the sending counter is not saved", "err", err)
	}
	if s.greeted > 0 {
		s.unanswered()
	}
	s.log.Debug("startup", "manager", s.managers[s.manager], "try", s.greeted+1)
	if s.write(now, []byte(proto.Startup)) == nil {
		s.flight.probe(now, s.sealed.count())
	}
	s.greeted++
	s.mayProve = true
	if s.greeted < len(startupAt) {
		s.wake = s.began.Add(startupAt[s.greeted])
	} else {
		s.wake = now.Add(s.pause())
	}
}

// askForProof takes an acknowledgement with an old count. That is all that can be heard of a manager which lost its count, or where messages of
// another one were taken for its: if it is an ossecd, it shows by the name of the conversation, in its answer to a keepalive, that it is
// there now. One is sent for each startup message at most.
func (s *session) askForProof(now time.Time) {
	if s.state == greeting && s.mayProve {
		s.mayProve = false
		s.ask(now)
	}
}

// unanswered logs that a startup message had no answer.
func (s *session) unanswered() {
	s.complain("the manager does not answer", "remedy", "run ossecd send-test with the same key, which tells more. Most often: a different key "+
		"there, a key for another address than the manager sees, nothing listening, a firewall, or a count that the manager refuses (its log says so)")
}

// pause is how long to wait after this round.
func (s *session) pause() time.Duration {
	if pass := s.pass(); pass > 0 && (s.rounds+1)%len(s.managers) == 0 {
		p := passPauses[min(pass, len(passPauses))-1]
		return p*3/4 + rand.N(p/2)
	}
	return roundPause
}

// receive takes a message of the manager.
func (s *session) receive(ctx context.Context, in conversation.Message) {
	now := time.Now()
	switch in.Sign {
	case conversation.NobodyThere:
		if s.state == online {
			s.log.Debug("nobody listens there, the manager's host says", "manager", s.managers[s.manager])
			s.flight.refuse()
		}
		return
	case conversation.OldAck:
		s.askForProof(now)
		return
	case conversation.UnnamedAck:
		if s.state == online && s.repeats >= anotherAfter && !now.Before(s.nextAnother) {
			s.nextAnother = now.Add(anotherEvery)
			s.offline(ctx, "another program has taken the manager's place", "none needed")
		}
		return
	}
	s.heard = now
	say := func(message []byte) error { return s.write(now, message) }
	if s.state == greeting { // orders are for agents that are online
		switch in.Kind {
		case proto.ManagerAck:
			s.flight.answer(now, in.Rest)
			s.welcome(now)
		case proto.ManagerRemoved:
			s.complain("the manager removed this agent", "remedy", obey.RemovedRemedy)
		case proto.ManagerRequest, proto.ManagerError, proto.ManagerOther:
			s.orders.Obey(in, say)
		}
		return
	}
	switch in.Kind {
	case proto.ManagerAck:
		s.answered(now, in.Rest)
	case proto.ManagerAnyHere:
		s.speakUp(now, string(in.Rest))
	default:
		if why, remedy := s.orders.Obey(in, say); why != "" {
			s.offline(ctx, why, remedy)
		}
	}
}

// welcome goes online on the manager's first answer.
func (s *session) welcome(now time.Time) {
	s.log.Info("connected", "manager", s.managers[s.manager], "addr", s.conn.RemoteAddr().String())
	clear(s.said)
	s.state, s.rounds = online, 0
	s.asked, s.repeats, s.waiting = time.Time{}, 0, false
	s.failing, s.retry = time.Time{}, time.Time{}
	s.about.forget()
	s.failBackLater(now)
	s.start()
	s.ask(now)
	s.keepalive = now.Add(s.cfg.NotifyTime)
}

// start sends the event of the agent's start, once in a process.
func (s *session) start() {
	if s.started {
		return
	}
	location := "ossec"
	if s.cfg.Dialect == proto.Wazuh {
		location = "wazuh-agent"
	}
	text := "ossec: Agent started: '" + s.key.Name + "->" + s.key.Address.Bare() + "'."
	s.started = s.tell(location, text)
}

// offline starts over, with the same manager first.
func (s *session) offline(ctx context.Context, why, remedy string) {
	s.log.Warn("offline", "reason", why, "manager", s.managers[s.manager], "silent", time.Since(s.heard).Round(time.Second), "remedy", remedy)
	s.stopFailBack()
	s.hangUp()
	s.connect(ctx)
}

// hangUp closes the socket, if there is one, and returns once its receiver has ended.
func (s *session) hangUp() {
	if s.recv != nil {
		s.recv.stop()
	}
	s.conn, s.recv = nil, nil
	s.probeDue, s.runName = time.Time{}, ""
	s.nuls.ours, s.nuls.formKnown = false, false
	s.orders.Begin()
	s.about.word = ""
}

// complain logs what keeps us from a manager, once for each manager until one answers.
func (s *session) complain(what string, attrs ...any) {
	manager := s.managers[s.manager]
	if !s.said[what+manager] {
		s.said[what+manager] = true
		s.log.Warn(what, append([]any{"manager", manager}, attrs...)...)
	}
}
