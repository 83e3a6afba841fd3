package channel

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"time"

	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// receiver takes datagrams, or packets of connections, all the way, in one goroutine.
type receiver struct {
	*Channel
	conn    listen.Writer // that the message at hand came over
	opener  *proto.Opener
	replier *replier
	events  sink.Lot // of the batch at hand
	came    int      // bytes of the datagram at hand
	genuine bool     // it was sealed with the key of one of our agents, or is a ping
}

func newReceiver(c *Channel, conn listen.Writer) (*receiver, error) {
	r, err := newReplier(c)
	if err != nil {
		return nil, err
	}
	return &receiver{Channel: c, conn: conn, opener: proto.NewOpener(), replier: r}, nil
}

// run receives until the socket is closed.
func (r *receiver) run(ctx context.Context, socket listen.PacketConn) error {
	conn := listen.Batches(socket)
	var ps [listen.BatchSize]listen.Datagram
	for {
		n, err := conn.ReadBatch(ps[:])
		switch {
		case err == nil:
			now := time.Now()
			for i := range ps[:n] {
				r.receive(ps[i].Data, ps[i].From, ps[i].To, now)
			}
			r.handOver(n == len(ps))
			// The writer goes next. Besides, a goroutine that does nothing but system calls for 10 ms is taken for
			// stuck: the runtime takes its processor away at every one of them, which costs more than our work.
			runtime.Gosched()
		case errors.Is(err, net.ErrClosed):
			return nil
		default: // such as an answer of ours that was refused; it says nothing about the next datagram
			r.log.Debug("receive", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// receive takes one datagram (docs/protocol.md, "Receiving"). The order of its steps is what keeps the manager
// safe: who sent it, whether it opens, whether it is fresh; and only then anything changes. The count is
// recorded, where a kill cannot undo it, before handOver has the event go out: so a kill can lose what is on its way to the
// reader, and never lets a datagram in twice.
func (r *receiver) receive(d []byte, from netip.AddrPort, to netip.Addr, now time.Time) {
	r.came, r.genuine = len(d), false
	f, err := proto.ParseFrame(d)
	if err != nil {
		if bytes.HasPrefix(d, []byte(proto.Ping)) {
			r.genuine = true
			r.conn.WritePacket([]byte(proto.Pong), from, to)
			return
		}
		r.refusals.unauthenticated(reasonOf(err), from, nil)
		return
	}
	a, why := find(r.fleet.Roster(), &f, from.Addr())
	if why == 0 && r.cfg.Accepts != 0 && f.Method != r.cfg.Accepts {
		why = methodRefused
	}
	if why != 0 {
		if (why == unknownID || why == unknownAddress) && r.farewell(f, from, to, now) {
			r.genuine = true
			r.refusals.counts[why].Add(1) // the log says who it is
			return
		}
		r.refusals.unauthenticated(why, from, f.ID)
		return
	}
	p := a.Conversation().(*peer)
	used, next := &a.Credential, (*fleet.Credential)(nil)
	message, err := r.opener.Open(used.Cipher, f, p.Traits().Dialect)
	if err != nil {
		if next = a.Next(); next != nil {
			used = next
			message, err = r.opener.Open(used.Cipher, f, p.Traits().Dialect)
		}
	}
	if err != nil {
		id := f.ID
		if id == nil {
			id = []byte(a.Key.ID)
		}
		r.refusals.unauthenticated(reasonOf(err), from, id)
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case next == nil && p.usesNext():
		r.refusals.unauthenticated(retiredKey, from, []byte(a.Key.ID))
		return
	case next != nil && next != a.Next(): // called off meanwhile
		r.refusals.unauthenticated(wrongKey, from, []byte(a.Key.ID))
		return
	}
	r.genuine = true
	control, malformed := proto.IsControl(message.Payload), false
	var e proto.Event
	if control {
		if proto.OnlyManagersSay(message.Payload) {
			r.refusals.authenticated(notAnAgents, p, from, now)
			return
		}
	} else if e, err = proto.ParseEvent(message.Payload, p.dialectOf(&message)); err != nil {
		if why := notTheAgents(used, &message); why != 0 {
			r.refusals.authenticated(why, p, from, now)
			return
		}
		malformed = true
	}
	count := message.Counter.Value()
	verdict := used.Slot.Accept(count)
	r.detectClone(p, &message, verdict, from, now)
	switch verdict {
	case proto.Repeated:
		r.refusals.authenticated(repeatedCount, p, from, now)
		return
	case proto.TooOld:
		r.tooOld(p, &message, from, now)
		return
	}

	r.fleet.Heard(a, now, control)
	p.account.took(count)
	p.forgetLow()
	if count > p.takenBefore() && (p.first == 0 || count < p.first) {
		p.first = count
	}
	if verdict == proto.Fresh { // a late one may be from before the agent moved or changed its cipher
		if next != nil && !p.usesNext() { // which ends its own
			p.active = next
			p.clones, p.taught = nil, 0 // counts of another row
			r.fleet.UsesNext(next)
		}
		if count < p.taught { // the counts of before were forgotten (keygen reset-counter): a row begins below them
			p.clones, p.taught, p.before, p.first = nil, 0, 0, count
		}
		t := p.Traits()
		t.Method = message.Method
		if message.Method == proto.AES {
			t.Dialect = message.Dialect
		}
		p.setTraits(t)
		// A stock agent's events do not move its return address. Where there is none yet, since we started, they show it: its keepalives can
		// be ten minutes apart. Wazuh's speak every few seconds, and of them it must be known which orders they read. Ours speak soon after an event,
		// and do not obey before.
		if control || t.IsOssecd || p.back.Load() == nil && t.Dialect != proto.Wazuh && !p.unnameable() {
			r.answerTo(p, listen.ReturnPath{Conn: r.conn, To: from, From: to}, now)
		}
	}
	if control {
		r.control(p, message.Payload, count, verdict == proto.Late, now)
		return
	}
	if malformed { // it has spent its count, and shows life, as any other
		r.refusals.authenticated(badEvent, p, from, now)
		return
	}
	if string(e.Location) == collectorMark {
		return
	}
	p.account.events++
	r.events.Event(a.Source, now, count, from, e.Queue, e.Location, e.Message)
}

// answerTo has answers go the way that a fresh message came. The connection before, if there was one, is closed when all that came over it was
// taken. p.mu is held.
func (r *receiver) answerTo(p *peer, back listen.ReturnPath, now time.Time) {
	s := back.Stream()
	if s != nil && s.Replaced() {
		return
	}
	old := p.back.Load()
	p.answerTo(back)
	if s != nil {
		s.Keep()
	}
	if old == nil || old.Stream() == nil || old.Stream() == s || !old.Stream().Replace() || !p.mayLog(reconnected, now) {
		return
	}
	r.log.Info("an agent speaks over another connection now; the one before is closed", "agent", p.agent.Key.ID, "name", p.agent.Key.Name,
		"source", back.To.String(), "before", old.To.String(),
		"remedy", "none needed if its program, host or network was restarted. If it goes on, two hosts use this key: give each one of its own")
}

// find returns the agent that a frame claims to come from, by its ID or else by the source address, and why
// there is none (docs/protocol.md, "Receiving"). Nothing is proven by it.
func find(agents *fleet.Roster, f *proto.Frame, from netip.Addr) (*fleet.Agent, reason) {
	if f.ID == nil {
		if a := agents.ByAddr(from); a != nil {
			return a, 0
		}
		return nil, unknownAddress
	}
	a := agents.Claims(f.ID)
	if a == nil {
		return nil, unknownID
	}
	if !a.Key.Address.Contains(from) {
		return a, wrongSource
	}
	return a, 0
}

// handOver gives the events of the batch to the sinks. more says that others follow at once.
func (r *receiver) handOver(more bool) {
	if r.events.Len() > 0 || !more {
		r.put(more)
	}
}

// put does so in any case. end is for Events.When.
func (r *receiver) put(more bool) (end uint64) {
	if n := r.events.Len(); n > 0 {
		r.taken.Add(uint64(n))
	}
	end = r.cfg.Events.Put(&r.events, more)
	r.events.Clear()
	return end
}

// collectorMark is the location under which stock collectors send marks that are nothing but signs of life.
const collectorMark = "ossec-keepalive"

func reasonOf(err error) reason {
	switch err {
	case proto.ErrTooLarge:
		return tooLarge
	case proto.ErrKey:
		return wrongKey
	case proto.ErrChecksum:
		return wrongChecksum
	}
	return malformed
}

// tooOld refuses a message far below the last count, and says so when it looks like a lost counter. p.mu is held.
func (r *receiver) tooOld(p *peer, message *proto.Message, from netip.AddrPort, now time.Time) {
	startup := false
	if proto.IsControl(message.Payload) {
		kind, _ := proto.ParseFromAgent(message.Payload)
		startup = kind == proto.AgentStartup
	}
	if !p.faulty().low.note(message.Counter.Value(), startup) {
		r.refusals.authenticated(oldCount, p, from, now)
		return
	}
	r.refusals.counts[oldCount].Add(1)
	p.faulty().counts[oldCount-authentic]++
	if !p.mayLog(lostCounter, now) {
		return
	}
	a := p.agent
	last := proto.CounterAt(a.Slot.Highest())
	r.log.Error("this agent lost its counter, or somebody replays old traffic", "agent", a.Key.ID, "name", a.Key.Name,
		"source", from.String(), "its_global", message.Counter.Global, "its_local", message.Counter.Local,
		"last_global", last.Global, "last_local", last.Local,
		"remedy", "if the host was restored or reinstalled, give the agent a new key, or run: ossecd keygen reset-counter "+a.Key.ID+" --state "+r.cfg.State)
}
