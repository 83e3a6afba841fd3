package channel

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unique"

	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/proto"
)

// control takes an authentic and fresh control message (docs/protocol.md, "Control messages"). late says that
// something newer came before it; if that was a control message, this one is answered and tells nothing of the agent: it may be of
// another program, kept back on the way. p.mu is held.
func (r *receiver) control(p *peer, payload []byte, count uint64, late bool, now time.Time) {
	end := r.put(true) // what is reported below comes after the events before
	kind, rest := proto.ParseFromAgent(payload)
	newest := count > p.taught
	p.taught = max(p.taught, count)
	p.noteLosses(kind == proto.AgentStartup)
	q := &question{kind: kind, count: count, size: r.came, at: now}
	switch kind {
	case proto.AgentShutdown:
		if !late { // else it spoke again since
			r.fleet.Goodbye(p.agent, now)
		}
		return // not answered: the agent is no longer there
	case proto.AgentStartup:
		if newest {
			p.startsAnew(rest)
			r.fleet.Startup(p.agent)
		}
		r.cfg.Sender.RebaseSoon(func(err error) { r.limited.Error("the sending counter was not raised", "err", err) })
	case proto.AgentKeepalive:
		rest = bytes.Clone(rest) // the answer may be late
		if k, err := proto.ParseKeepalive(rest); err == nil && newest {
			p.learn(&k, r.came, now)
			q.report = &fleet.Report{Keepalive: &k, Text: rest, Method: p.Traits().Method}
		}
	}
	r.answerOnceSafe(p, q, end)
}

// startsAnew takes a startup: another program may use the key from now on, so nothing that the one before could do is expected of this
// one until its first keepalive. behind is what stands behind the startup, as Wazuh's JSON. p.mu is held.
func (p *peer) startsAnew(behind []byte) {
	p.talk = ""
	p.account.startsAnew()
	p.agent.Slot.SetConverses(false)
	t := p.Traits()
	t.IsOssecd, t.CanRotate, t.SaysWord, t.ReadsJSON = false, false, false, startupReadsJSON(behind)
	if t.Method == proto.Blowfish { // AES shows the dialect by itself
		t.Dialect = 0
		if bytes.HasPrefix(behind, []byte("{")) {
			t.Dialect = proto.Wazuh
		}
	}
	p.setTraits(t)
}

// learn takes what a keepalive says of the agent's program; it came in a datagram of so many bytes. p.mu is held.
func (p *peer) learn(k *proto.Keepalive, size int, now time.Time) {
	p.address.heard(k.Word, now)
	p.told, p.pressed = size, 0
	p.account.program = unique.Make(k.Program[:min(len(k.Program), maxProgram)])
	t := p.Traits()
	t.IsOssecd = isOssecd(k)
	t.CanRotate, t.SaysWord = t.IsOssecd && k.TakesKey, t.IsOssecd && k.SaysWord
	version, wazuh := strings.CutPrefix(k.Program, "Wazuh ")
	t.ReadsJSON = wazuh && readsJSON(version)
	if t.Method == proto.Blowfish { // AES shows the dialect by itself
		switch {
		case wazuh:
			t.Dialect = proto.Wazuh
		case strings.HasPrefix(k.Program, "OSSEC "):
			t.Dialect = proto.OSSEC
		}
	}
	p.setTraits(t)
	p.converse(k)
}

// maxProgram is how much of an agent's name and version is kept, in bytes.
const maxProgram = 64

// isOssecd says that a keepalive is of an agent of ours.
func isOssecd(k *proto.Keepalive) bool { return strings.HasPrefix(k.Program, "ossecd ") }

// converse has what we say to an agent bear the name of a conversation from now on, where its keepalive offers one, and none where not.
// p.mu is held.
func (p *peer) converse(k *proto.Keepalive) {
	p.talk = ""
	if p.Traits().IsOssecd {
		p.talk = talkWith(k, p.run())
	}
	p.agent.Slot.SetConverses(p.talk != "")
}

// unnameable says that the agent takes part in a conversation whose name we do not know, since it began before we started: until its next
// keepalive it refuses all that we could say. p.mu is held.
func (p *peer) unnameable() bool { return p.talk == "" && p.agent.Slot.Converses() }

// talkWith is the name of the conversation that a keepalive offers to a run of ours; empty where it offers none.
func talkWith(k *proto.Keepalive, run string) string {
	if k.Nonce == "" {
		return ""
	}
	return proto.ConversationName(k.Nonce, run)
}

// farewell tells an agent of ours that was removed, and speaks again, so that its log says why nobody answers. Only a startup or a keepalive that
// an ossecd marked is answered: another program may use the key by now. Who repeats what it sent gets no answer. It says whether the agent was told.
func (r *receiver) farewell(f proto.Frame, from netip.AddrPort, to netip.Addr, now time.Time) bool {
	a := r.fleet.Roster().Gone(f.ID, from.Addr())
	if a == nil {
		return false
	}
	p := a.Conversation().(*peer)
	message, err := r.opener.Open(a.Cipher, f, p.Traits().Dialect)
	if err != nil || !proto.IsControl(message.Payload) || proto.OnlyManagersSay(message.Payload) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	talk := ""
	switch kind, rest := proto.ParseFromAgent(message.Payload); kind {
	case proto.AgentStartup:
		if message.Random != a.Cipher.StartupRandom(message.Counter) {
			return false
		}
	case proto.AgentKeepalive:
		k, err := proto.ParseKeepalive(rest)
		if err != nil || !isOssecd(&k) {
			return false
		}
		talk = talkWith(&k, p.run())
	default:
		return false
	}
	if a.Slot.Accept(message.Counter.Value()) != proto.Fresh {
		return false
	}
	t := p.Traits()
	p.talk = talk
	p.active, t.Method = nil, message.Method
	p.setTraits(t)
	p.answerTo(listen.ReturnPath{Conn: r.conn, To: from, From: to})
	r.replier.send(p, []byte(proto.Removed))
	if p.mayLog(toldRemoved, now) {
		r.log.Info("a removed agent was told that it is removed", "agent", a.Key.ID, "name", a.Key.Name, "source", from.String())
	}
	return true
}

// readsJSON says whether a program of Wazuh of this version, "v4.14.5", does.
func readsJSON(version string) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major > 4 || major == 4 && minor >= 2)
}

// startupreadsJSON says it of what stands behind a startup: {"version":"v4.14.5"}, or nothing.
func startupReadsJSON(rest []byte) bool {
	var s struct {
		Version string `json:"version"`
	}
	return len(rest) > 0 && json.Unmarshal(rest, &s) == nil && readsJSON(s.Version)
}
