package manager

import (
	"bytes"
	"strings"
	"time"

	"ossecd/manager/order"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// control takes an authentic and fresh control message of a (docs/protocol.md, "Control messages"). late says that
// something newer came before it; if that was a control message, this one is answered and tells nothing of the agent: it may be of
// another program, kept back on the way. a.mu is held.
func (r *receiver) control(a *agent, payload []byte, count uint64, late bool, now time.Time) {
	r.handOver(true) // what is reported below comes after the events before
	a.slot.SetLastSeen(now)
	kind, rest := proto.ParseFromAgent(payload)
	newest := count > a.taught
	a.taught = max(a.taught, count)
	switch kind {
	case proto.AgentShutdown:
		if !late { // else it spoke again since
			r.m.leave(a, now, a, a.mayLog(saidGoodbye, now))
		}
		return // not answered: the agent is no longer there
	case proto.AgentStartup:
		if newest {
			a.startsAnew(rest)
			if r.m.pusher != nil {
				r.m.pusher.started(a)
			}
		}
		r.m.sender.RebaseSoon(func(err error) { r.m.limited.Error("the sending counter was not raised", "err", err) })
	case proto.AgentKeepalive:
		if !newest {
			break
		}
		if k, err := proto.ParseKeepalive(rest); err == nil {
			r.keepalive(a, &k, now)
			if r.m.pusher != nil {
				r.m.pusher.reported(a, &k, r.came, now)
			}
			if r.m.info != nil {
				r.m.info.Note(a.key, rest, a.method)
			}
		}
	}
	// The answer leaves first: whoever waits for an agent to be connected may count on its having been told.
	if a.back != nil {
		r.answer(a, kind, count, now)
		r.offerKey(a)
	}
	if a.life.state != connected {
		a.life.state = connected
		a.slot.SetConnected(true)
		r.m.cameBack(a, now)
	}
	r.m.watch.look(a)
}

// startsAnew takes a startup: another program may use the key from now on, so nothing that the one before could do is expected of this
// one until its first keepalive. behind is what stands behind the startup, as Wazuh's JSON. a.mu is held.
func (a *agent) startsAnew(behind []byte) {
	a.ours, a.takes, a.talk, a.json = false, false, "", order.StartupReadsJSON(behind)
	a.life.forgetInterval()
	a.slot.SetInterval(0)
	a.slot.SetConverses(false)
	if a.method == proto.Blowfish { // AES shows the dialect by itself
		a.dialect = 0
		if bytes.HasPrefix(behind, []byte("{")) {
			a.dialect = proto.Wazuh
		}
	}
}

// cameBack reports an agent that is there from now on, and how long it was not where that is known. a.mu is held.
func (m *manager) cameBack(a *agent, now time.Time) {
	var details []byte
	if o := &a.life.outage; !o.since.IsZero() {
		details = sink.Member(details, "last_seen", o.since)
		details = sink.Member(details, "outage", o.seconds(now))
	}
	m.change(a, now, sink.Connected, details, a)
	if a.mayLog(cameAgain, now) && !m.waves.passing(a) {
		attrs := []any{"agent", a.key.ID, "name", a.key.Name, "source", a.source(), "method", a.method.String()}
		if o := &a.life.outage; !o.since.IsZero() {
			attrs = append(attrs, "outage", o.length(now))
		}
		m.log.Info("agent connected", attrs...)
	}
	a.life.outage = outage{}
}

// answer answers a control message. Who sends a startup, however late it comes, may be a stock agent, and compare exactly. Within a
// conversation the answer names what it is for. Where nothing shows that the address hears us, an answer that is longer than what came has the
// stock form: whoever sends what is shorter than our agents' keepalives has no use for more. a.mu is held.
func (r *receiver) answer(a *agent, kind proto.FromAgent, count uint64, now time.Time) {
	switch {
	case kind == proto.AgentStartup:
		r.voice.sayPlain(a, []byte(proto.Ack))
		return
	case !a.ours:
		r.voice.say(a, []byte(proto.Ack))
		return
	}
	run := proto.Run{Name: r.m.run, Last: proto.CounterAt(a.before), First: proto.CounterAt(a.first)}
	if a.talk != "" {
		run.Of = proto.CounterAt(count)
	}
	most := 0
	if !a.hears(now) {
		most = r.came
	}
	if r.voice.sayWithin(a, proto.AppendAck(nil, &run), most) == errTooLong {
		r.voice.sayPlain(a, []byte(proto.Ack))
	}
}

// isOssecd says that a keepalive is of an agent of ours.
func isOssecd(k *proto.Keepalive) bool { return strings.HasPrefix(k.Program, "ossecd ") }

func (r *receiver) keepalive(a *agent, k *proto.Keepalive, now time.Time) {
	before := a.life.interval()
	a.life.noteKeepalive(k, now)
	if interval := a.life.interval(); interval != before {
		a.slot.SetInterval(interval)
	}
	a.ours = isOssecd(k)
	a.takes = a.ours && k.TakesKey
	r.m.converse(a, k)
	version, wazuh := strings.CutPrefix(k.Program, "Wazuh ")
	a.json = wazuh && order.ReadsJSON(version)
	if a.method == proto.Blowfish {
		switch { // AES shows the dialect by itself
		case strings.HasPrefix(k.Program, "Wazuh "):
			a.dialect = proto.Wazuh
		case strings.HasPrefix(k.Program, "OSSEC "):
			a.dialect = proto.OSSEC
		}
	}
}

// gone reports an agent that fell silent. a.mu is held.
func (m *manager) gone(a *agent, now time.Time) { m.leave(a, now, nil, true) }

// leave reports an agent that fell silent or said goodbye. One whose key was removed or changed is let go of without a
// word: what took its place has a life of its own. The event counts toward the share of payer. a.mu is held.
func (m *manager) leave(a *agent, now time.Time, payer *agent, tell bool) {
	if a.life.state == unseen {
		return
	}
	heard := a.heard()
	a.life.state = unseen
	if m.roster.Load().byID[a.key.ID] != a {
		return
	}
	a.slot.SetConnected(false)
	a.slot.SetLastSeen(heard)
	a.life.outage = outage{since: heard}
	if m.cfg.RemindAfter > 0 {
		a.life.outage.remind = now.Add(m.cfg.RemindAfter)
	}
	reason, remedy := "goodbye", "none needed if its agent was stopped or restarted on purpose"
	if payer == nil {
		reason, remedy = "silent", "check that the host and its agent run, and that no firewall or NAT is in the way"
		tell = !m.waves.note(a, now, heard) && tell
	}
	details := sink.Member(a.about(heard), "reason", reason)
	m.change(a, now, sink.Disconnected, details, payer)
	if !tell {
		return
	}
	m.log.Warn("agent disconnected", "agent", a.key.ID, "name", a.key.Name, "last_seen", heard.UTC().Format(time.RFC3339),
		"reason", reason, "remedy", remedy)
}

// report emits an event about an agent. It counts toward the share of payer: the agent itself where that can bring as
// many of them about as it likes, else nil.
func (m *manager) report(a *agent, now time.Time, text string, r sink.Report, payer *agent) {
	var l sink.Lot
	var account *sink.Agent
	if payer != nil {
		account = payer.sinks
	}
	l.Report(a.sinks, account, now, text, r)
	m.sinks.Put(&l, false)
}
