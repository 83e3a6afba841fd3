package manager

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"time"

	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// receiver takes the datagrams of one socket all the way, in one goroutine.
type receiver struct {
	m      *manager
	conn   listen.PacketConn
	log    *slog.Logger
	opener *proto.Opener
	voice  *voice

	events sink.Lot // of the batch at hand
	came   int      // bytes of the datagram at hand
}

func (m *manager) newReceiver(conn listen.PacketConn) (*receiver, error) {
	v, err := m.newVoice()
	if err != nil {
		return nil, err
	}
	return &receiver{m: m, conn: conn, log: m.log, opener: proto.NewOpener(), voice: v}, nil
}

// run receives until the socket is closed.
func (r *receiver) run(ctx context.Context) error {
	conn := listen.Batches(r.conn)
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
	m := r.m
	r.came = len(d)
	f, err := proto.ParseFrame(d)
	if err != nil {
		m.refusals.unauthenticated(reasonOf(err), from, nil)
		return
	}
	a, why := m.roster.Load().find(&f, from.Addr())
	if why == 0 && m.cfg.accepts != 0 && f.Method != m.cfg.accepts {
		why = methodRefused
	}
	if why != 0 {
		if (why == unknownID || why == unknownAddress) && r.farewell(f, from, to, now) {
			m.refusals.counts[why].Add(1) // the log says who it is
			return
		}
		m.refusals.unauthenticated(why, from, f.ID)
		return
	}
	cipher, slot, spare := a.cipher, a.slot, (*spare)(nil)
	message, err := r.opener.Open(cipher, f, a.knownDialect())
	if err != nil {
		if spare = a.spare.Load(); spare != nil {
			cipher, slot = spare.cipher, spare.slot
			message, err = r.opener.Open(cipher, f, a.knownDialect())
		}
	}
	if err != nil {
		id := f.ID
		if id == nil {
			id = []byte(a.key.ID)
		}
		m.refusals.unauthenticated(reasonOf(err), from, id)
		return
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case spare == nil && a.uses != nil:
		m.refusals.unauthenticated(retiredKey, from, []byte(a.key.ID))
		return
	case spare != nil && spare != a.spare.Load(): // called off meanwhile
		m.refusals.unauthenticated(wrongKey, from, []byte(a.key.ID))
		return
	}
	control, malformed := proto.IsControl(message.Payload), false
	var e proto.Event
	if control {
		if proto.OnlyManagersSay(message.Payload) {
			m.refusals.authenticated(notAnAgents, a, from, now)
			return
		}
	} else if e, err = proto.ParseEvent(message.Payload, a.dialectOf(&message)); err != nil {
		if why := notTheAgents(cipher, slot, &message); why != 0 {
			m.refusals.authenticated(why, a, from, now)
			return
		}
		malformed = true
	}
	verdict := slot.Accept(message.Counter.Value())
	r.lookForTwin(a, &message, verdict, from, now)
	switch verdict {
	case proto.Repeated:
		m.refusals.authenticated(repeatedCount, a, from, now)
		return
	case proto.TooOld:
		r.tooOld(a, &message, from, now)
		return
	}

	a.life.lastSeen = now
	a.forgetLow()
	if v := message.Counter.Value(); v > a.before && (a.first == 0 || v < a.first) {
		a.first = v
	}
	if verdict == proto.Fresh { // a late one may be from before the agent moved or changed its cipher
		if spare != a.uses {
			m.useSpare(a, spare)
		}
		a.method = message.Method
		if message.Method == proto.AES {
			a.dialect = message.Dialect
		}
		// A stock agent's events do not move its return address. Where there is none yet, since we started, they show it: its keepalives can
		// be ten minutes apart. Wazuh's speak every few seconds, and of them it must be known which orders they read. Ours speak soon after an event,
		// and do not obey before.
		if control || a.ours || a.back == nil && a.dialect != proto.Wazuh && !a.unnameable() {
			a.answerTo(listen.ReturnPath{Conn: r.conn, To: from, From: to})
		}
	}
	if control {
		r.control(a, message.Payload, message.Counter.Value(), verdict == proto.Late, now)
		return
	}
	if malformed { // it has spent its count, and shows life, as any other
		m.refusals.authenticated(badEvent, a, from, now)
		return
	}
	if string(e.Location) == collectorMark {
		return
	}
	r.events.Event(a.sinks, now, message.Counter.Value(), from, e.Queue, e.Location, e.Message)
}

// handOver gives the events of the batch to the sinks. more says that others follow at once.
func (r *receiver) handOver(more bool) {
	if r.events.Len() > 0 || !more {
		r.m.sinks.Put(&r.events, more)
		r.events.Clear()
	}
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

// tooOld refuses a message far below the last count, and says so when it looks like a lost counter. a.mu is held.
func (r *receiver) tooOld(a *agent, message *proto.Message, from netip.AddrPort, now time.Time) {
	startup := false
	if proto.IsControl(message.Payload) {
		kind, _ := proto.ParseFromAgent(message.Payload)
		startup = kind == proto.AgentStartup
	}
	if !a.faulty().low.note(message.Counter.Value(), startup) {
		r.m.refusals.authenticated(oldCount, a, from, now)
		return
	}
	r.m.refusals.counts[oldCount].Add(1)
	if !a.mayLog(lostCounter, now) {
		return
	}
	last := proto.CounterAt(a.slot.Highest())
	r.log.Error("this agent lost its counter, or somebody replays old traffic", "agent", a.key.ID, "name", a.key.Name,
		"source", from.String(), "its_global", message.Counter.Global, "its_local", message.Counter.Local,
		"last_global", last.Global, "last_local", last.Local,
		"remedy", "if the host was restored or reinstalled, give the agent a new key, or run: ossecd keygen reset-counter "+a.key.ID+" --state "+r.m.cfg.State)
}
