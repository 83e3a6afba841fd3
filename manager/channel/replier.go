package channel

import (
	"crypto/rand"
	"errors"
	"math"

	"ossecd/proto"
)

// replier seals messages to agents. It is for one goroutine at a time.
type replier struct {
	channel  *Channel
	sealer   *proto.Sealer
	datagram []byte // at hand
	named    []byte // the message at hand, with the name of the conversation
	most     int    // bytes that the datagram may have
}

func newReplier(c *Channel) (*replier, error) {
	s, err := proto.NewSealer(1) // answers are too short for a higher level to matter
	if err != nil {
		return nil, err
	}
	return &replier{channel: c, sealer: s, most: math.MaxInt}, nil
}

// send seals a message, in the conversation that the agent takes part in, and sends it to where the agent was last heard, which must be
// known. A failure is logged and returned. p.mu is held.
func (r *replier) send(p *peer, message []byte) error {
	if p.talk != "" {
		r.named = proto.AppendNamed(r.named[:0], p.talk, message)
		message = r.named
	}
	return r.sendPlain(p, message)
}

// errTooLong says that a message was not sent, since it is larger than what it answers.
var errTooLong = errors.New("larger than what it answers")

// sendWithin is send, where the datagram has no more than some bytes; else it is errTooLong.
func (r *replier) sendWithin(p *peer, message []byte, most int) error {
	r.most = most
	defer func() { r.most = math.MaxInt }()
	return r.send(p, message)
}

// sendPlain is send, outside any conversation.
func (r *replier) sendPlain(p *peer, message []byte) error {
	count, err := r.channel.cfg.Sender.TryNext() // p.mu is held, for which receivers wait
	if err != nil {
		r.channel.limited.Error("an answer was not sent", "err", err)
		return err
	}
	cipher, t, back := p.cipher(), p.Traits(), p.back.Load()
	e := proto.Envelope{Method: t.Method, Dialect: t.Dialect, Counter: count, Random: cipher.ManagersRandom(count)}
	if t.Method == proto.AES && t.Dialect != proto.Wazuh {
		rand.Read(e.IV[:])
	}
	r.datagram, err = r.sealer.Seal(r.datagram[:0], cipher, &e, message)
	if err == nil && len(r.datagram) > r.most {
		return errTooLong
	}
	if err == nil {
		err = back.Write(r.datagram)
	}
	if err != nil {
		r.channel.log.Debug("answer", "agent", p.agent.Key.ID, "to", back.To.String(), "err", err)
	}
	return err
}
