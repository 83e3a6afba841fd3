package channel

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/udp"
	"ossecd/keys"
	"ossecd/proto"
)

// nextKey is what is made of a key for receiving.
type nextKey struct {
	line   string // of the keys file
	since  time.Time
	cipher *proto.Cipher
	slot   *keys.Slot
}

// retiredFor is how long an acknowledgement may be on its way under the key before.
const retiredFor = 30 * time.Second

// receiver reads one socket. It lets through what the manager at the other end sent with our key, in our method
// and dialect, and with a count not seen before. It is the only goroutine that uses the slot.
type receiver struct {
	conn    net.Conn
	inbox   chan conversation.Message
	closing chan struct{} // the link wants no more
	ended   chan struct{}
	unhook  func() bool // undoes what ties the socket to the agent's context

	method  proto.Method
	dialect proto.Dialect
	cipher  *proto.Cipher
	slot    *keys.Slot
	next    atomic.Pointer[nextKey] // a key that takes the place of the one of cipher and slot with the manager's first message under it
	claims  *claims
	talk    *talk
	manager string
	refused *refusals
	opener  *proto.Opener
	pushing bool // a file comes, in pieces that can look like anything
}

const (
	// readDatagram is what one read takes; a datagram has less.
	readDatagram = 1 << 16

	// inboxSize is how many messages of the manager wait for the link. A pushed file comes in bursts of 30.
	inboxSize = 64
)

// listen makes the receiver of a socket to one of the managers.
func (c *Channel) listen(conn net.Conn, manager int) *receiver {
	return &receiver{
		conn: conn, inbox: make(chan conversation.Message, inboxSize), closing: make(chan struct{}), ended: make(chan struct{}),
		method: c.cfg.Method, dialect: c.cfg.Dialect, cipher: c.sealer.cipher,
		slot: c.counts.slots[c.first+manager], refused: c.refused[manager], opener: proto.NewOpener(),
		claims: c.counts.claims, talk: newTalk(), manager: c.cfg.Managers[manager],
	}
}

// run reads until the socket is closed.
func (r *receiver) run() {
	defer close(r.ended)
	buf := make([]byte, readDatagram)
	for {
		n, err := r.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		in := conversation.Message{Sign: conversation.NobodyThere}
		ended := errors.Is(err, io.EOF)
		switch {
		case ended:
			in = conversation.Message{Sign: conversation.Closed, Text: []byte(err.Error())}
		case err == nil:
			var ok bool
			if in, ok = r.open(buf[:n]); !ok {
				continue
			}
		}
		select {
		case r.inbox <- in:
		case <-r.closing:
			return
		}
		if ended {
			return
		}
		if err != nil && !udp.IsRefused(err) {
			select { // whatever it is, it must not keep a core busy
			case <-time.After(retryWrite):
			case <-r.closing:
				return
			}
		}
	}
}

// open opens a datagram and judges its count.
func (r *receiver) open(d []byte) (conversation.Message, bool) {
	frame, err := proto.ParseFrame(d)
	switch {
	case errors.Is(err, proto.ErrTooLarge):
		return r.refuse(tooLarge)
	case err != nil || frame.ID != nil: // a manager never names an ID
		return r.refuse(malformed)
	case frame.Method != r.method:
		return r.refuse(otherMethod)
	}
	cipher, slot := r.cipher, r.slot
	next, retired := r.next.Load(), false
	if next != nil {
		cipher, slot = next.cipher, next.slot
	}
	m, err := r.opener.Open(cipher, frame, r.dialect)
	if err != nil && next != nil && time.Since(next.since) < retiredFor { // it may have been on its way
		cipher, slot, retired = r.cipher, r.slot, true
		m, err = r.opener.Open(cipher, frame, r.dialect)
	}
	switch {
	case errors.Is(err, proto.ErrKey):
		return r.refuse(wrongKey)
	case errors.Is(err, proto.ErrChecksum):
		return r.refuse(wrongChecksum)
	case errors.Is(err, proto.ErrTooLarge):
		return r.refuse(tooLarge)
	case err != nil:
		return r.refuse(malformed)
	case m.Dialect != r.dialect:
		return r.refuse(otherDialect)
	}
	text, count := m.Payload, m.Counter.Value()
	kind, rest := proto.ParseFromManager(text)
	name, named := "", kind == proto.ManagerNamed
	if named {
		name, text, _ = proto.ParseNamed(rest)
		kind, rest = proto.ParseFromManager(text)
	}
	switch {
	case proto.OnlyAgentsSay(text), kind == proto.ManagerNamed, kind == proto.ManagerChunk && !named && !r.pushing:
		return r.refuse(notAManagers)
	case retired && kind == proto.ManagerNewKey && string(rest) == next.line: // told once more before it heard that we have it
		return conversation.Message{}, false
	case retired && kind != proto.ManagerAck:
		return r.refuse(retiredKey)
	}
	var run proto.Run
	var behindAck []byte
	if kind == proto.ManagerAck {
		run, _ = proto.ParseRun(rest)
		behindAck = rest
	}
	var verdict proto.Verdict
	var another bool
	switch {
	case named && kind == proto.ManagerAck && run.Name == "":
		return r.refuse(malformed)
	case named:
		var ours, full bool
		verdict, ours, full = r.talk.accept(name, run.Name, count, func(run string) bool { return r.claims.takesRun(run, r.manager) })
		if full {
			return conversation.Message{Sign: conversation.UnnamedAck}, true
		}
		another = !ours
	case r.talk.begun():
		r.refused.add(unnamed)
		return conversation.Message{Sign: conversation.UnnamedAck}, kind == proto.ManagerAck && slot.Judge(count).Passes()
	default:
		verdict, another = r.claims.accept(slot, count, d, behindAck, r.manager)
	}
	switch {
	case another:
		return r.refuse(anothersMessage)
	case verdict == proto.Repeated:
		return r.refuse(repeatedCount)
	case verdict == proto.TooOld:
		r.refused.old(count)
		r.refused.add(oldCount)
		return conversation.Message{Sign: conversation.OldAck}, kind == proto.ManagerAck && !named
	}
	if next != nil && !retired { // the manager has gone over to the new key: the old one has ended
		r.cipher, r.slot = next.cipher, next.slot
		r.next.CompareAndSwap(next, nil)
	}
	switch kind {
	case proto.ManagerUpFile:
		r.pushing = true
	case proto.ManagerCloseFile:
		r.pushing = false
	}
	r.refused.fresh()
	text = append([]byte{}, text...)
	return conversation.Message{Kind: kind, Text: text, Rest: text[len(text)-len(rest):], Count: count}, true
}

func (r *receiver) refuse(why reason) (conversation.Message, bool) {
	r.refused.add(why)
	return conversation.Message{}, false
}

// stop closes the socket and returns once the receiver has ended.
func (r *receiver) stop() {
	r.unhook()
	close(r.closing)
	r.conn.Close()
	<-r.ended
}
