package channel

import (
	"log/slog"
	"time"

	"ossecd/keys/limitlog"
)

// lostCounterAfter is how many authentic messages of the manager with rising counts, all far below its last
// one, are taken as a sign that it lost its counter.
const lostCounterAfter = 3

// reason is why a datagram of the manager was not taken.
type reason uint8

const (
	_ reason = iota
	malformed
	tooLarge
	otherMethod
	wrongKey
	wrongChecksum
	otherDialect
	notAManagers
	repeatedCount
	oldCount
	retiredKey
	anothersMessage
	unnamed
	numReasons
)

// reasons gives each reason its name in logs, and what to do about it.
var reasons = [numReasons]struct{ name, remedy string }{
	malformed:       {"malformed", "check what listens on the manager's port: this was no message of a manager"},
	tooLarge:        {"too large", "check that --dialect matches the manager: the message is larger than the protocol allows"},
	otherMethod:     {"other cipher", "set --crypto to the cipher that the manager uses"},
	wrongKey:        {"wrong key", "export this agent's key on the manager (ossecd keygen export) and import it here: the two differ"},
	wrongChecksum:   {"wrong checksum", "none needed if it is rare: the message was damaged on the way, or forged. Otherwise compare the keys at both ends"},
	otherDialect:    {"other dialect", "set --dialect to that of the manager, which uses the other form of AES"},
	notAManagers:    {"not from a manager", "find out who sends the agent's own messages back to it"},
	repeatedCount:   {"repeated count", "none needed if it is rare: the network delivered a datagram twice. Otherwise somebody replays messages"},
	retiredKey:      {"retired key", "if it happens again and again, find out who has this agent's old key and sends orders under it"},
	anothersMessage: {"another manager's message", "name each manager once in --manager: two may lead to the same. Otherwise somebody sends one manager's messages as if they came from another"},
	unnamed:         {"without the conversation's name", "none needed if the manager was replaced by a stock one or an older ossecd just now: the agent connects again. Otherwise somebody replays old messages"},
	oldCount:        {"old count", "none needed if it is rare. Otherwise the manager lost its counter, or somebody replays old messages"},
}

func (r reason) String() string { return reasons[r].name }

// refusals counts what was not taken, and logs it. It belongs to the receivers of one manager, of which there is
// one at a time.
type refusals struct {
	log     *slog.Logger
	manager string
	counts  [numReasons]uint64
	told    [numReasons]uint64
	limits  [numReasons]limitlog.Limit

	lastOld   uint64
	nextOld   time.Time // when one counts again; what comes at once with another shows nothing more
	rising    int
	limitLost limitlog.Limit
}

func (r *refusals) add(why reason) {
	r.counts[why]++
	if !r.limits[why].Due(time.Now()) {
		return
	}
	r.log.Warn("refused", "reason", why.String(), "count", r.counts[why]-r.told[why], "manager", r.manager, "remedy", reasons[why].remedy)
	r.told[why] = r.counts[why]
}

// fresh notes that the manager's count is as it should be.
func (r *refusals) fresh() { r.rising = 0 }

// old notes an authentic message whose count was too old.
func (r *refusals) old(count uint64) {
	now := time.Now()
	if now.Before(r.nextOld) {
		return
	}
	r.nextOld = now.Add(time.Second)
	if count <= r.lastOld {
		r.rising = 0
	}
	r.lastOld = count
	r.rising++
	if r.rising < lostCounterAfter || !r.limitLost.Due(now) {
		return
	}
	r.log.Error("the manager lost its counter, or somebody replays its old traffic", "manager", r.manager,
		"remedy", "make a new key for this agent. Or restore the manager's rids/sender_counter. "+
			"Or stop this agent, delete received and rids in its --state, and start it: recorded messages are then accepted once more")
}
