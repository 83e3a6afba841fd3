package channel

import (
	"math"
	"time"

	"ossecd/manager/fleet"
	"ossecd/proto"
)

// question is a control message that is to be answered.
type question struct {
	kind   proto.FromAgent
	count  uint64
	size   int // of its datagram
	at     time.Time
	report *fleet.Report // what the agent said of itself with it, or nil
}

// maxAnswers is how many answers to one agent wait for the journal at most.
const maxAnswers = 16

// answers are what an agent is answered for.
type answers struct {
	waiting int    // how many wait for the journal
	last    uint64 // the highest count of a control message that was answered
	lost    uint64 // of its events, as far as is known
	owed    bool   // some of them it will send again
	runs    int    // how often it was told that this is another run of ours
}

// answerOnceSafe answers a control message once all that was put before end is safe in the journal: at once, or later by a goroutine of
// the journal's. p.mu is held.
func (r *receiver) answerOnceSafe(p *peer, q *question, end uint64) {
	if p.answers.owed || p.answers.waiting >= maxAnswers {
		return
	}
	p.answers.waiting++
	if r.cfg.Events.When(end, func() {
		o := &r.outside
		o.Lock()
		defer o.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		o.answer(p, q)
	}) {
		r.replier.answer(p, q)
	}
}

// answer sends the answer to a control message. The agent is present from then on, unless something newer came. p.mu is held.
func (r *replier) answer(p *peer, q *question) {
	p.answers.waiting--
	p.answers.last = max(p.answers.last, q.count)
	// The answer leaves first: whoever waits for an agent to be connected may count on its having been told.
	if p.back.Load() != nil {
		r.acknowledge(p, q)
		r.offerKey(p)
	}
	if q.count >= p.taught {
		r.channel.fleet.Present(p.agent, q.at, q.report)
	}
}

// acknowledge answers a control message. Who sends a startup, however late it comes, may be a stock agent, and compare exactly. Within a
// conversation the answer names what it is for. Where nothing shows that the address hears us, an answer that is longer than what came has the
// stock form: whoever sends what is shorter than our agents' keepalives has no use for more. p.mu is held.
func (r *replier) acknowledge(p *peer, q *question) {
	switch {
	case q.kind == proto.AgentStartup:
		r.sendPlain(p, []byte(proto.Ack))
		return
	case !p.Traits().IsOssecd:
		r.send(p, []byte(proto.Ack))
		return
	}
	run := proto.Run{Name: p.run(), Last: proto.CounterAt(p.takenBefore()), First: proto.CounterAt(p.first)}
	if p.talk != "" {
		run.Of = proto.CounterAt(q.count)
	}
	most := math.MaxInt
	if !p.hears(q.at) {
		most = q.size
	}
	if r.sendWithin(p, proto.AppendAck(nil, &run), most) == errTooLong {
		r.sendPlain(p, []byte(proto.Ack))
	}
}

// offerKey tells an agent its next key, if it has one, has not used it yet, and can take it. p.mu is held.
func (r *replier) offerKey(p *peer) {
	if next := p.agent.Next(); next != nil && p.Traits().CanRotate && !p.usesNext() {
		r.send(p, []byte(proto.NewKey+next.Key.Line()))
	}
}
