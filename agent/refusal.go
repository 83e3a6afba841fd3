package agent

import (
	"log/slog"
	"time"

	"ossecd/keys/limitlog"
)

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
	numReasons
)

// reasons gives each reason its name in logs, and what to do about it.
var reasons = [numReasons]struct{ name, remedy string }{
	malformed:       {"malformed", "not a datagram of a manager; see what listens on that port, and who else sends from there"},
	tooLarge:        {"too large", "over what the protocol allows; see whether --dialect is that of the manager"},
	otherMethod:     {"other cipher", "the manager answers in a cipher that is not ours: set --crypto to it"},
	wrongKey:        {"wrong key", "the manager's key for this agent differs from ours: export it there (ossecd keygen export) and import it here"},
	wrongChecksum:   {"wrong checksum", "damaged on the way, or forged; if it stays, compare the keys of both sides"},
	otherDialect:    {"other dialect", "the manager speaks the AES form of the other dialect: set --dialect to it"},
	notAManagers:    {"not from a manager", "a message that only agents send, or a piece of no file: somebody sends back what agents sent"},
	repeatedCount:   {"repeated count", "the same datagram arrived twice: a network that repeats, or a replay"},
	retiredKey:      {"retired key", "under the key before the last rotation only an ack is taken; if it stays, somebody who has the old key sends orders in the manager's name"},
	anothersMessage: {"another manager's message", "somebody repeats what one manager sent as if it came from another; or two of --manager lead to the same manager: name each once"},
	oldCount:        {"old count", "far below the last count: the manager lost its counter, or somebody replays old traffic"},
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
	if count <= r.lastOld {
		r.rising = 0
	}
	r.lastOld = count
	r.rising++
	if r.rising < lostCounterAfter || !r.limitLost.Due(time.Now()) {
		return
	}
	r.log.Error("the manager lost its counter, or somebody replays its old traffic", "manager", r.manager,
		"remedy", "best: make a new key for this agent. Or restore the manager's rids/sender_counter. "+
			"Or stop this agent, delete received and rids from its --state, and start it: that lets old traffic in once more")
}
