package channel

import (
	"hash/maphash"
	"slices"
	"sync"

	"ossecd/keys"
	"ossecd/proto"
)

// claims say which manager a message belongs to, where an agent has several. All of them use one key, and each counts by itself: what
// one sent opens and can look fresh on the socket towards another, where it would be obeyed once more, or be taken for an
// acknowledgement of what that one never got.
//
// Managers that are ossecds name the conversation that a message belongs to, which tells it better (talk). For others,
// a datagram is taken from one manager only, and where all managers are used at once so is the name of a run. The receivers of all
// conversations share it.
type claims struct {
	runsToo bool // the managers are used at once, so that none can be another under a second address

	mu     sync.Mutex
	seed   maphash.Seed
	recent [maxClaims]uint64 // digests of datagrams, the oldest of which is at next
	next   int
	owners map[uint64]string // by digest
	runs   map[string]string // by name
	names  []string          // of runs, oldest first
	talks  map[string]string // the run in each manager's conversation
}

const (
	maxClaims = 16 << 10 // datagrams that are remembered
	maxRuns   = 256
)

// newClaims is for a list of managers, which are used at once with all; nil where there is but one.
func newClaims(managers []string, all bool) *claims {
	if len(managers) < 2 {
		return nil
	}
	return &claims{runsToo: all, seed: maphash.MakeSeed(), owners: make(map[uint64]string), runs: make(map[string]string), talks: make(map[string]string)}
}

// accept judges the count of an authentic message, and notes whose datagram and run it is where the count passes. another says that
// datagram or run is another manager's; then nothing changes. All of it is one step: of two receivers that get one datagram at the same
// time, one takes it.
func (c *claims) accept(slot *keys.Slot, count uint64, datagram, behindAck []byte, manager string) (verdict proto.Verdict, another bool) {
	if c == nil {
		return slot.Accept(count), false
	}
	digest := maphash.Bytes(c.seed, datagram)
	run, named := proto.ParseRun(behindAck)
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner, known := c.owners[digest]; known && owner != manager {
		return verdict, true
	}
	if owner, known := c.runs[run.Name]; named && c.runsToo && known && owner != manager {
		return verdict, true
	}
	if verdict = slot.Accept(count); !verdict.Passes() {
		return verdict, false
	}
	delete(c.owners, c.recent[c.next])
	c.recent[c.next], c.owners[digest] = digest, manager
	c.next = (c.next + 1) % maxClaims
	if named {
		c.note(run.Name, manager)
	}
	return verdict, false
}

// takesRun says whether a manager may have a run of this name in its conversation, and notes that it has. It has one at a time: the
// one before is nobody's from then on, so that an acknowledgement of another manager that was carried to its socket keeps that one out
// only until its own next one.
func (c *claims) takesRun(name, manager string) bool {
	if c == nil || !c.runsToo {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	owner, known := c.runs[name]
	if known && owner != manager {
		return false
	}
	if before := c.talks[manager]; before != name {
		if c.runs[before] == manager {
			delete(c.runs, before)
			c.names = slices.DeleteFunc(c.names, func(n string) bool { return n == before })
		}
		c.talks[manager] = name
	}
	c.note(name, manager)
	return true
}

// note notes whose run it is, where nobody's is known. c.mu is held.
func (c *claims) note(name, manager string) {
	if _, known := c.runs[name]; known {
		return
	}
	if len(c.names) == maxRuns {
		delete(c.runs, c.names[0])
		c.names = append(c.names[:0], c.names[1:]...)
	}
	c.runs[name] = manager
	c.names = append(c.names, name)
}
