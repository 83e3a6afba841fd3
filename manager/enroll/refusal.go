package enroll

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"ossecd/keys/limitlog"
)

// reason is why an agent was not given a key; 0 is none.
type reason uint8

const (
	_ reason = iota
	tooMany
	tooFast
	guessing
	noHandshake
	tooSlow
	tooLong
	noRequest
	malformed
	wrongPassword
	passwordsPaused
	unknownToken
	usedUp
	expired
	tokenName
	badName
	nameRefused
	nameTaken
	badAddress
	addressTaken
	badGroup
	failed
	numReasons
)

// reasons gives each reason its name in logs, the text that the agent gets (the stock ones; empty: the connection is just
// closed; those that end in ": " have the name or address put behind), and what to do about it.
var reasons = [numReasons]struct{ name, answer, remedy string }{
	tooMany:         {"too many connections", "", "none needed: agents try again. An address may have 16 connections at once, and all together 1024"},
	tooFast:         {"too many connections in a short time", "", "none needed: agents try again. An address may connect 50 times a second"},
	guessing:        {"guessing", "", "give this address's agents the right password or token, or block it; it is let in again after a pause"},
	noHandshake:     {"no TLS", "", "if it is an agent, check that it trusts the certificate, has one of its own if enroll-client-ca asks for it, and speaks TLS 1.2 or later"},
	tooSlow:         {"too slow", "", "if it is an agent, check the network to its host: no whole request came within 10 s"},
	tooLong:         {"request too long", "Invalid request for new agent", "if it is an agent, give it fewer groups: the request is over 8 KB"},
	noRequest:       {"no request", "", "if it is an agent, check that it trusts the certificate: it went away before it had asked for anything"},
	malformed:       {"malformed request", "Invalid request for new agent", "find out what sends this: an agent would send OSSEC A:'NAME'"},
	wrongPassword:   {"wrong password", "Invalid password", "give the agent the password, or a token (ossecd keygen token add)"},
	passwordsPaused: {"too many wrong passwords", "Invalid password", "find out who guesses, and use tokens meanwhile (ossecd keygen token add): after 1,000 wrong passwords from all addresses, one a second is looked at"},
	unknownToken:    {"unknown token", "Invalid password", "make another token (ossecd keygen token add): this one was revoked, or is not in the file of enroll-tokens"},
	usedUp:          {"token used up", "Invalid password: the token is used up", "make another token (ossecd keygen token add). If the agent never got its key, remove the agent that was made for it"},
	expired:         {"token expired", "Invalid password: the token has expired", "make another token (ossecd keygen token add)"},
	tokenName:       {"token for other names", "Invalid password: the token is for other names: ", "make a token for this name (ossecd keygen token add --names), or change the agent's"},
	badName:         {"invalid name", "Invalid agent name: ", "give the agent a name of 2 to 128 letters, digits, dots, dashes and underscores"},
	nameRefused:     {"name not accepted", "Invalid agent name: ", "change enroll-names, or the agent's name"},
	nameTaken:       {"duplicate name", "Duplicate agent name: ", "remove the agent that has the name (ossecd keygen remove), choose another name, or set enroll-duplicates"},
	badAddress:      {"invalid address", "Invalid IP: ", "have the agent ask for an address, a network, or any"},
	addressTaken:    {"duplicate address", "Duplicate IP: ", "remove the agent that has the address, or use any: an agent with a single address is known by it alone"},
	badGroup:        {"invalid group", "Invalid group name: ", "use at most 16 groups, with names of 1 to 64 letters, digits, dots, dashes and underscores"},
	failed:          {"our own failure", "Internal manager error adding agent: ", "look in this log for the cause"},
}

func (r reason) String() string { return reasons[r].name }

// answer is what the agent is told about a request for name, address and groups.
func (r reason) answer(name, address, groups string) string {
	text := reasons[r].answer
	switch {
	case r == badAddress || r == addressTaken:
		return text + address
	case r == badGroup:
		return text + groups
	case text != "" && text[len(text)-1] == ' ':
		return text + name
	}
	return text
}

// isGuess says that the reason is one by which an address makes itself suspect.
func (r reason) isGuess() bool { return r == wrongPassword || r == unknownToken }

// refusals counts what was refused, and logs it at most once per reason, address and limitlog.Every.
type refusals struct {
	log *slog.Logger

	mu    sync.Mutex
	count [numReasons]uint64   // in all
	told  map[refused]*refusal // at most maxTold, and one more for each reason
}

// refused is a reason and an address (connection_limit.go says what counts as one); the zero address stands for all for which there is no room.
type refused struct {
	why  reason
	from netip.Prefix
}

type refusal struct {
	untold uint64
	next   time.Time // nothing is logged before
	last   []any     // about the last one, as attributes
}

// note counts a refusal; attrs say more about it.
func (r *refusals) note(why reason, from netip.AddrPort, attrs ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count[why]++
	about := refused{why, prefixOf(from.Addr())}
	if r.told[about] == nil && len(r.told) >= maxTold {
		about.from = netip.Prefix{}
	}
	one := r.told[about]
	if one == nil {
		if r.told == nil {
			r.told = make(map[refused]*refusal)
		}
		one = new(refusal)
		r.told[about] = one
	}
	one.untold++
	one.last = append([]any{"source", from.String()}, attrs...)
	r.tell(why, one, time.Now())
}

// tell logs what was not told yet, if it is time. r.mu is held.
func (r *refusals) tell(why reason, one *refusal, now time.Time) {
	if one.untold == 0 || now.Before(one.next) {
		return
	}
	r.log.Warn("enrolment refused", append(append([]any{"reason", why.String(), "count", one.untold}, one.last...), "remedy", reasons[why].remedy)...)
	one.untold, one.next = 0, now.Add(limitlog.Every)
}

// run tells until ctx ends what note left untold.
func (r *refusals) run(ctx context.Context) {
	tick := time.NewTicker(limitlog.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.mu.Lock()
			for about, one := range r.told {
				if one.untold == 0 && !now.Before(one.next) {
					delete(r.told, about)
				}
				r.tell(about.why, one, now)
			}
			r.mu.Unlock()
		}
	}
}

// counts are those that are not zero, by reason.
func (r *refusals) counts() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]uint64)
	for why, n := range r.count {
		if n > 0 {
			all[reason(why).String()] = n
		}
	}
	return all
}

// summary is all counts that are not zero, as attributes for a log line.
func (r *refusals) summary() []any {
	all := r.counts()
	var attrs []any
	for why := range numReasons {
		if n := all[why.String()]; n > 0 {
			attrs = append(attrs, why.String(), n)
		}
	}
	return attrs
}
