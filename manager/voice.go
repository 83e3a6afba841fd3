package manager

import (
	"crypto/rand"
	"errors"

	"ossecd/proto"
)

// voice seals messages to agents. It is for one goroutine at a time.
type voice struct {
	m        *manager
	sealer   *proto.Sealer
	datagram []byte // at hand
	named    []byte // the message at hand, with the name of the conversation
	most     int    // bytes that the datagram may have; 0 is no bound
}

func (m *manager) newVoice() (*voice, error) {
	s, err := proto.NewSealer(1) // answers are too short for a higher level to matter
	if err != nil {
		return nil, err
	}
	return &voice{m: m, sealer: s}, nil
}

// say seals a message for a, in the conversation that it takes part in, and sends it to where a was last heard, which must be known. A failure
// is logged and returned. a.mu is held.
func (v *voice) say(a *agent, message []byte) error {
	if a.talk != "" {
		v.named = proto.AppendNamed(v.named[:0], a.talk, message)
		message = v.named
	}
	return v.sayPlain(a, message)
}

// errTooLong says that a message was not sent, since it is larger than what it answers.
var errTooLong = errors.New("larger than what it answers")

// sayWithin is say, where the datagram has no more than some bytes; else it is errTooLong.
func (v *voice) sayWithin(a *agent, message []byte, most int) error {
	v.most = most
	defer func() { v.most = 0 }()
	return v.say(a, message)
}

// sayPlain is say, outside any conversation.
func (v *voice) sayPlain(a *agent, message []byte) error {
	count, err := v.m.sender.TryNext() // a.mu is held, for which receivers wait
	if err != nil {
		v.m.limited.Error("an answer was not sent", "err", err)
		return err
	}
	cipher := a.inUse()
	e := proto.Envelope{Method: a.method, Dialect: a.dialect, Counter: count, Random: cipher.ManagersRandom(count)}
	if a.method == proto.AES && a.dialect != proto.Wazuh {
		rand.Read(e.IV[:])
	}
	v.datagram, err = v.sealer.Seal(v.datagram[:0], cipher, &e, message)
	if err == nil && v.most > 0 && len(v.datagram) > v.most {
		return errTooLong
	}
	if err == nil {
		err = a.back.Write(v.datagram)
	}
	if err != nil {
		v.m.log.Debug("answer", "agent", a.key.ID, "to", a.back.To.String(), "err", err)
	}
	return err
}
