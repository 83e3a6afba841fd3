package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/outbox"
	"ossecd/proto"
)

// memoryManager is a manager in this process. Its conversations are calls and channels: nothing is sealed, and there is no socket.
type memoryManager struct {
	mu     sync.Mutex
	there  bool     // it answers
	closes bool     // it closes each conversation after its first answer, or at once where it does not answer
	lines  []string // the events that it took
	dialed int
	last   *memoryConversation
}

// set says whether the manager answers.
func (m *memoryManager) set(there bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.there = there
}

var closedMessage = conversation.Message{Sign: conversation.Closed, Text: []byte("the manager closed the connection")}

// hangUp has the manager close its last conversation.
func (m *memoryManager) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last.inbox <- closedMessage
}

// dials is how often it was dialed so far.
func (m *memoryManager) dials() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dialed
}

// take gives the lines that were taken since the last call.
func (m *memoryManager) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := m.lines
	m.lines = nil
	return lines
}

// order has the manager say something in its last conversation.
func (m *memoryManager) order(kind proto.FromManager) {
	m.mu.Lock()
	c := m.last
	m.mu.Unlock()
	c.inbox <- conversation.Message{Kind: kind}
}

// memoryDialer reaches managers by their places in a list.
type memoryDialer struct {
	managers []*memoryManager
	out      *outbox.Reader
}

var errNoSuchName = errors.New("no such name")

func (d *memoryDialer) Dial(_ context.Context, manager, _ int) (conversation.Conversation, error) {
	m := d.managers[manager]
	if m == nil {
		return nil, errNoSuchName
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dialed++
	return &memoryConversation{manager: m, out: d.out, inbox: make(chan conversation.Message, 100)}, nil
}

// askEvery is how often a conversation in memory asks whether what it sent has arrived.
const askEvery = 10 * time.Second

// memoryConversation is one with a manager in memory. A message's count is how many were sent before.
type memoryConversation struct {
	manager *memoryManager
	out     *outbox.Reader
	inbox   chan conversation.Message
	open    bool
	begun   bool
	closed  bool
	ask     time.Time
	unheard int // questions without an answer
	sent    uint64
	arrived uint64
	said    []string
}

func (c *memoryConversation) Open(context.Context, bool) {
	c.open = true
	c.manager.mu.Lock()
	defer c.manager.mu.Unlock()
	c.manager.last = c
}

func (c *memoryConversation) Inbox() <-chan conversation.Message { return c.inbox }

// question has the manager answer, if it is there, that all sent so far has arrived.
func (c *memoryConversation) question() {
	c.manager.mu.Lock()
	defer c.manager.mu.Unlock()
	c.unheard++
	if c.manager.there {
		c.inbox <- conversation.Message{Kind: proto.ManagerAck, Count: c.sent}
	}
	if c.manager.closes {
		c.inbox <- closedMessage
	}
}

func (c *memoryConversation) Hear(_ time.Time, m conversation.Message) conversation.Heard {
	switch {
	case m.Sign == conversation.Closed:
		return conversation.Ended
	case m.Kind != proto.ManagerAck:
		return conversation.Order
	case !c.begun:
		return conversation.Accepted
	}
	c.unheard, c.arrived = 0, m.Count
	c.out.Arrived(m.Count)
	return conversation.Known
}

func (c *memoryConversation) Hello(time.Time) { c.question() }

func (c *memoryConversation) Begin(now time.Time) {
	c.begun, c.unheard = true, 0
	c.ask = now.Add(askEvery)
}

func (c *memoryConversation) Ready() bool { return c.begun && c.out.Next() != nil }

func (c *memoryConversation) Send() bool {
	if e := c.out.Next(); e != nil {
		c.sent++
		c.manager.mu.Lock()
		if c.manager.there {
			c.manager.lines = append(c.manager.lines, string(e.Message))
		}
		c.manager.mu.Unlock()
		c.out.Sent(c.sent)
	}
	return true
}

func (c *memoryConversation) Keep(now time.Time, last bool) error {
	if last && c.sent != c.arrived || !now.Before(c.ask) {
		c.question()
		c.ask = now.Add(askEvery)
	}
	return nil
}

func (c *memoryConversation) Due() time.Time   { return c.ask }
func (c *memoryConversation) Answering() bool  { return c.unheard < 2 }
func (c *memoryConversation) AllArrived() bool { return c.sent == c.arrived }
func (c *memoryConversation) Leave()           {}
func (c *memoryConversation) Close()           { c.closed = true }
func (c *memoryConversation) Addr() string     { return "memory" }

func (c *memoryConversation) Say(message []byte) error {
	c.said = append(c.said, string(message))
	return nil
}
