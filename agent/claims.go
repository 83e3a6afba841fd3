package agent

import (
	"hash/maphash"
	"sync"

	"ossecd/proto"
)

// claims say which manager a message belongs to, where an agent has several. All of them use one key, and each counts by itself: what
// one sent opens and can look fresh on the socket towards another, where it would be obeyed once more, or be taken for an
// acknowledgement of what that one never got.
//
// A datagram is taken from one manager only, and where all managers are used at once so is the name of a run. The receivers of all
// sessions share it.
type claims struct {
	runsToo bool // the managers are used at once, so that none can be another under a second address

	mu     sync.Mutex
	seed   maphash.Seed
	recent [maxClaims]uint64 // digests of datagrams, the oldest of which is at next
	next   int
	owners map[uint64]string // by digest
	runs   map[string]string // by name
	names  []string          // of runs, oldest first
}

const (
	maxClaims = 16 << 10 // datagrams that are remembered
	maxRuns   = 256
)

// newClaims is for a list of managers; nil where there is but one.
func newClaims(cfg *Config) *claims {
	if len(cfg.Managers) < 2 {
		return nil
	}
	return &claims{runsToo: cfg.AllManagers, seed: maphash.MakeSeed(), owners: make(map[uint64]string), runs: make(map[string]string)}
}

// another says that an authentic datagram, or the run that it names, is another manager's.
func (c *claims) another(datagram []byte, behindAck []byte, manager string) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner, ok := c.owners[maphash.Bytes(c.seed, datagram)]; ok && owner != manager {
		return true
	}
	if run, ok := proto.ParseRun(behindAck); ok && c.runsToo {
		owner, known := c.runs[run.Name]
		return known && owner != manager
	}
	return false
}

// claim notes whose a datagram is that was authentic and fresh.
func (c *claims) claim(datagram []byte, behindAck []byte, manager string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	digest := maphash.Bytes(c.seed, datagram)
	delete(c.owners, c.recent[c.next])
	c.recent[c.next], c.owners[digest] = digest, manager
	c.next = (c.next + 1) % maxClaims
	run, ok := proto.ParseRun(behindAck)
	if _, known := c.runs[run.Name]; !ok || known {
		return
	}
	if len(c.names) == maxRuns {
		delete(c.runs, c.names[0])
		c.names = append(c.names[:0], c.names[1:]...)
	}
	c.runs[run.Name] = manager
	c.names = append(c.names, run.Name)
}
