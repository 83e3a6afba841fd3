package journal

import "sync/atomic"

// Account is who puts records, for its share. The zero Account is one that has put none.
type Account struct {
	Owner any // whose it is

	filling uint64 // of which filling bytes speaks
	bytes   int
	backlog uint64 // of which backlog held speaks
	held    int64
	crowded uint64 // lost for being over the share, and not told yet
	full    uint64 // lost since there was no room, and not told yet
	lost    atomic.Uint64
}

// Lost is how many records of the account were lost so far.
func (a *Account) Lost() uint64 { return a.lost.Load() }

// shares are who may put how much. The lock of the journal guards them.
type shares struct {
	limit   int // bytes that wait
	share   int // of them those of one account
	filling uint64
	mark    uint64 // number of the record that filling counts up for
	most    int64  // bytes of one account in what a reader holds that must not lose it
	backlog uint64 // counts up when such readers begin to be behind
	behind  bool   // one is
	own     Account
	losers  []*Account
	lost    chan struct{} // has a token where losers are to be told
	crowded uint64        // all that were lost for being over a share
	full    uint64        // all that were lost since there was no room
}

func (s *shares) open(cfg *Config) {
	s.limit, s.share = cfg.Memory, cfg.Memory/100*cfg.Share
	s.filling, s.backlog = 1, 1
	s.most = cfg.Limit / 100 * int64(cfg.Share)
	s.lost = make(chan struct{}, 1)
}

// admit says whether a record of so many bytes may be put while others wait. If so it counts; if not it is lost.
func (s *shares) admit(a *Account, size, waiting int, closed bool) bool {
	if a == nil {
		if !closed && waiting+size <= s.limit+s.limit/8 { // what the manager reports has a little more
			return true
		}
		a = &s.own
		a.full++
		s.full++
		s.lose(a)
		return false
	}
	if a.filling != s.filling {
		a.filling, a.bytes = s.filling, 0
	}
	switch {
	case closed || waiting+size > s.limit:
		a.full++
		s.full++
	case a.bytes+size > s.share || s.behind && !s.mayHold(a, size):
		a.crowded++
		s.crowded++
	default:
		a.bytes += size
		return true
	}
	s.lose(a)
	return false
}

// mayHold says whether an account may have so many bytes more in what a reader must not lose. If so they count.
func (s *shares) mayHold(a *Account, size int) bool {
	if a.backlog != s.backlog {
		a.backlog, a.held = s.backlog, 0
	}
	if a.held+int64(size) > s.most {
		return false
	}
	a.held += int64(size)
	return true
}

// lose notes that an account has lost one more.
func (s *shares) lose(a *Account) {
	if a.crowded+a.full == 1 {
		s.losers = append(s.losers, a)
	}
	a.lost.Add(1)
	nudge(s.lost)
}

// turn begins another filling once all that waited in the last one is gone. oldest is the number of the first record that waits.
func (s *shares) turn(oldest, next uint64) {
	if oldest >= s.mark {
		s.filling++
		s.mark = next
	}
}

// Loss is what was lost of what an account put.
type Loss struct {
	Account *Account // nil for what concerns none
	Crowded uint64   // for being over its share
	Full    uint64   // since there was no room
}

// LossesSoon has a token when records were lost, of which Losses tells, once.
func (j *Journal) LossesSoon() <-chan struct{} { return j.shares.lost }

// Losses are those since the last call for which tell says that they may be told now.
func (j *Journal) Losses(tell func(*Account) bool) (list []Loss) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.shares
	rest := s.losers[:0]
	for _, a := range s.losers {
		if a != &s.own && !tell(a) {
			rest = append(rest, a)
			continue
		}
		loss := Loss{a, a.crowded, a.full}
		if a == &s.own {
			loss.Account = nil
		}
		list = append(list, loss)
		a.crowded, a.full = 0, 0
	}
	clear(s.losers[len(rest):])
	s.losers = rest
	return list
}
