package channel

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ossecd/keys/limitlog"
)

// reason is why a datagram or message was not taken.
type reason uint8

const (
	_ reason = iota
	malformed
	tooLarge
	unknownID
	unknownAddress
	wrongSource
	methodRefused
	wrongKey
	retiredKey
	wrongChecksum

	// From here on the message was authentic.
	repeatedCount
	oldCount
	notAnAgents
	badEvent
	lostCounter // counted as oldCount; only its log line is its own
	toldRemoved // no refusal: only its log line is limited like one
	reconnected // likewise
	numReasons

	authentic = repeatedCount // the first of those
)

// reasons gives each reason its name in logs and counts, and what to do about it.
var reasons = [numReasons]struct{ name, remedy string }{
	malformed:      {"malformed", "none needed if it is rare: a scanner, or another program that uses this port, sent it"},
	tooLarge:       {"too large", "find out who sends it: it is larger than the protocol allows"},
	unknownID:      {"unknown ID", "give the agent a key from this manager (ossecd keygen add): its ID is not in the keys file"},
	unknownAddress: {"unknown address", "add a key for this address, or use a key for \"any\" or a network, with which the agent sends its ID"},
	wrongSource:    {"wrong source address", "change the agent's address (ossecd keygen set-ip): its key is for another one. Or look for NAT on the way"},
	methodRefused:  {"cipher not accepted", "set --crypto-accept to any, or change the agent's cipher"},
	wrongKey:       {"wrong key", "export the key here (ossecd keygen export) and import it at the agent: the two differ. A single message can be a probe"},
	retiredKey:     {"retired key", "find out who uses the old key: the agent has a new one already. It is a copy of its host from before, or somebody who has the old key"},
	wrongChecksum:  {"wrong checksum", "none needed if it is rare: the message was damaged on the way, or forged. Otherwise compare the keys at both ends"},
	repeatedCount:  {"repeated count", "none needed if it is rare: the network delivered a datagram twice, or somebody replays. Many mean that two hosts use one key"},
	oldCount:       {"old count", "if it goes on, give the agent a new key: its count went back. Otherwise somebody replays old messages"},
	notAnAgents:    {"not from an agent", "find out who sends the manager's own messages back to it"},
	lostCounter:    {"lost counter", ""},
	toldRemoved:    {"told that it was removed", ""},
	reconnected:    {"reconnected", ""},
	badEvent:       {"malformed event", "look at what feeds this agent: it sends events that are not QUEUE:LOCATION:MESSAGE"},
}

func (r reason) String() string { return reasons[r].name }

// sampleSize is how many different senders a line about refused datagrams names.
const sampleSize = 3

// refusals counts what was not taken. What is not authenticated is logged at most once per reason and limitlog.Every,
// with how many there were and a few of the senders.
type refusals struct {
	log    *slog.Logger
	counts [numReasons]atomic.Uint64
	open   [numReasons]atomic.Bool // nothing was logged for this reason in the present period
	mu     sync.Mutex
	told   [numReasons]uint64 // counts as of the last log line
	sample [numReasons][]sender
	claims claims
}

// sender is who sent a refused datagram, as far as it says.
type sender struct {
	addr netip.AddrPort
	id   string
}

func newRefusals(log *slog.Logger) *refusals {
	r := &refusals{log: log}
	for i := range r.open {
		r.open[i].Store(true)
	}
	return r
}

// unauthenticated counts a datagram that proved nothing.
func (r *refusals) unauthenticated(why reason, from netip.AddrPort, id []byte) {
	r.counts[why].Add(1)
	if why >= wrongSource && len(id) > 0 {
		r.claims.note(why, id, from)
	}
	if r.open[why].CompareAndSwap(true, false) {
		r.mu.Lock()
		r.sample[why] = append(r.sample[why], sender{from, string(id)})
		r.tell(why)
		r.mu.Unlock()
		return
	}
	if !r.mu.TryLock() {
		return // the sample need not be complete
	}
	defer r.mu.Unlock()
	s := r.sample[why]
	if len(s) >= sampleSize {
		return
	}
	for _, have := range s {
		if have.addr.Addr() == from.Addr() {
			return
		}
	}
	r.sample[why] = append(s, sender{from, string(id)})
}

// tell logs what came since the last line about a reason. r.mu is held.
func (r *refusals) tell(why reason) {
	n := r.counts[why].Load()
	attrs := []any{"reason", why.String(), "count", n - r.told[why]}
	for _, s := range r.sample[why] {
		attrs = append(attrs, "source", s.addr.String())
		if s.id != "" {
			attrs = append(attrs, "id", s.id)
		}
	}
	attrs = append(attrs, "remedy", reasons[why].remedy)
	r.log.Warn("refused", attrs...)
	r.told[why] = n
	r.sample[why] = r.sample[why][:0]
}

// run logs, once per limitlog.Every, what was refused since and not told yet. It returns when ctx ends.
func (r *refusals) run(ctx context.Context) {
	tick := time.NewTicker(limitlog.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		for why := malformed; why < authentic; why++ {
			if r.counts[why].Load() > r.told[why] {
				r.tell(why)
			} else {
				r.open[why].Store(true)
			}
		}
		r.mu.Unlock()
	}
}

// authenticated counts a message that is the agent's own but was not taken, and logs it at most once per agent,
// reason and limitlog.Every. p.mu is held.
func (r *refusals) authenticated(why reason, p *peer, from netip.AddrPort, now time.Time) {
	r.counts[why].Add(1)
	p.faulty().counts[why-authentic]++
	if !p.mayLog(why, now) {
		return
	}
	r.log.Warn("refused", "reason", why.String(), "agent", p.agent.Key.ID, "name", p.agent.Key.Name,
		"source", from.String(), "remedy", reasons[why].remedy)
}

// all is all counts that are not zero, by reason.
func (r *refusals) all() map[string]uint64 {
	all := make(map[string]uint64)
	for why := malformed; why < numReasons; why++ {
		if n := r.counts[why].Load(); n > 0 {
			all[why.String()] = n
		}
	}
	return all
}

// summary is all counts that are not zero, as attributes for a log line.
func (r *refusals) summary() []any {
	var attrs []any
	for why := malformed; why < numReasons; why++ {
		if n := r.counts[why].Load(); n > 0 {
			attrs = append(attrs, why.String(), n)
		}
	}
	return attrs
}
