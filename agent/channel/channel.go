// Package channel is the stock conversation between an agent and a manager: events and control messages, each sealed into a message of its own: a datagram, or
// what goes over a stream like one.
//
//	outbox ─▶ Conversation ─ seal, count ─ write ─▶ socket
//	             │   ▲                                 │
//	             ▼   └─ Hear ◀─ Inbox ◀─ open, judge ◀─┘ receiver
//	           flight: what was sent and no answer covers yet
//
// A [Channel] has what the conversations with the managers of one link have in common, one after the other. The goroutine of the link
// owns both, so that the order of counts is that of sending and the state needs no locks. Each socket has one more goroutine, the receiver,
// which passes on only what it found authentic and fresh.
package channel

import (
	"context"
	"log/slog"
	"net"
	"time"

	"golang.org/x/time/rate"

	"ossecd/agent/conversation"
	"ossecd/agent/outbox"
	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/proto"
)

// Config says how the agent speaks.
type Config struct {
	Managers []string // HOST:PORT
	// Dial makes a socket to one of them, which sends a message with each Write and takes one with each Read; nobody need be there. Where it
	// fails with io.EOF it has ended for good. pass is as in conversation.Dialer.
	Dial     func(ctx context.Context, manager, pass int) (net.Conn, error)
	Key      keys.Key
	Method   proto.Method
	Dialect  proto.Dialect
	Outbox   *outbox.Reader // of the link
	MaxEvent int            // as in source.Env
	About    About

	NotifyTime    time.Duration // between keepalives
	ProbeInterval time.Duration // from an event to the keepalive that asks about it; 0 for none
	Rate, Burst   int           // events a second, 0 for no limit; and at once after a pause, 0 for Rate

	Log *slog.Logger
}

// Events that an earlier run of the manager did not get are sent again so often at once, and then once so often: a manager that
// names ever new runs must not have the same events sent without end.
const (
	resendBurst = 10
	resendEvery = 10 * time.Second
)

// Channel makes conversations. Its methods are for one goroutine, which owns its state, but for Dial and UseKey.
type Channel struct {
	cfg     Config
	log     *slog.Logger
	limited *limitlog.Logger
	counts  *Counts
	first   int         // the place of Managers[0] among those of counts
	refused []*refusals // by manager
	sealer  *sealer
	rate    eventRate
	resend  *rate.Limiter // of what a new run of the manager did not get
	plain   []byte        // scratch
	nuls    nuls

	conv        *Conversation // that was opened last, if it is not tentative
	started     bool          // the event of the agent's start was sent
	cannotSend  bool          // that this host cannot send was logged
	nextReplace time.Time     // when it may be found again that another program has taken the manager's place
}

var _ conversation.Dialer = (*Channel)(nil)

// New makes a Channel to managers of which the first is the one of this place in counts.
func New(cfg Config, counts *Counts, first int) (*Channel, error) {
	c := &Channel{
		cfg: cfg, log: cfg.Log, limited: limitlog.New(cfg.Log), counts: counts, first: first,
		rate: newEventRate(cfg.Rate, cfg.Burst), resend: rate.NewLimiter(rate.Every(resendEvery), resendBurst),
	}
	for _, m := range cfg.Managers {
		c.refused = append(c.refused, &refusals{log: cfg.Log, manager: m})
	}
	var err error
	c.sealer, err = newSealer(&cfg, counts.sender)
	return c, err
}

// Dial implements conversation.Dialer.
func (c *Channel) Dial(ctx context.Context, manager, pass int) (conversation.Conversation, error) {
	conn, err := c.cfg.Dial(ctx, manager, pass)
	if err != nil {
		return nil, err
	}
	return &Conversation{ch: c, manager: manager, conn: conn}, nil
}

// UseKey prepares for a new key with the only manager, in whatever goroutine; use goes over to it. Until the manager uses the new key, its
// acknowledgements under the old one are taken.
func (c *Channel) UseKey(key keys.Key) (use func(), err error) {
	next := &nextKey{line: key.Line(), cipher: proto.NewCipher(key.CipherKey())}
	if next.slot, err = c.counts.slotOf(key, c.cfg.Managers[0]); err != nil {
		return nil, err
	}
	return func() {
		c.cfg.Key = key
		c.counts.use(next.slot)
		c.sealer.cipher = next.cipher
		next.since = time.Now()
		if c.conv != nil {
			c.conv.recv.next.Store(next)
			if c.conv.begun {
				c.conv.ask(time.Now())
			}
		}
	}, nil
}
