package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"ossecd/proto"
)

// Where things are in a slot, in bytes. All but the fingerprint are words of eight.
const (
	slotPrint    = 0  // 16 bytes: SHA-256 of ID, KEY and peer
	slotID       = 16 // the ID, zeros behind it
	slotWindow   = 24
	slotKnown    = slotWindow + proto.WindowSize // the highest that rids/ID can say and not be news
	slotTold     = slotKnown + 8                 // what rids/ID says
	slotFlags    = slotKnown + 16
	slotSeen     = slotKnown + 24 // Unix time, seconds
	slotInterval = slotKnown + 32 // seconds
	slotGone     = slotKnown + 40 // Unix time since when no key has it, 0 while one has
	slotEnd      = slotKnown + 48 // zeros from here on

	flagConnected = 1
	flagConverses = 2
)

var _ [slotSize - slotEnd]byte // it fits

// Slot is the received counter of one agent with one key, and what else about the agent outlives the process. Its
// methods may be called by any goroutine.
type Slot struct {
	mu   sync.Mutex
	mem  *[slotSize]byte // in the mapped file; nil once closed
	next *Slot           // of the same ID; guarded by Received.mu
	in   *Received
	at   int64    // in the file
	_    [24]byte // fills a cache line: agents whose receivers are on different cores do not wait for each other
}

// ID is the agent's ID.
func (s *Slot) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id()
}

// Print is a fingerprint of ID and KEY.
func (s *Slot) Print() uint64 { return binary.LittleEndian.Uint64(s.mem[slotPrint:]) }

// Judge tells what Accept would say of the count, and changes nothing.
func (s *Slot) Judge(v uint64) proto.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window().Judge(v)
}

// Accept judges the count of an authentic message (Counter.Value) and records it if it passes. Once it has returned,
// no later process accepts that count again.
func (s *Slot) Accept(v uint64) proto.Verdict {
	s.mu.Lock()
	verdict := s.window().Accept(v)
	if s.in.mmap == nil && verdict.Passes() {
		s.save()
	}
	s.mu.Unlock()
	return verdict
}

// Highest is the highest count accepted or taken over, 0 for none.
func (s *Slot) Highest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window().Highest()
}

// Reset forgets every count, so that old captured traffic passes once more. The stock file does not bring them back:
// the next Flush empties it, and until then it is known to be old.
func (s *Slot) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(slotKnown, s.known())
	*s.window() = proto.Window{}
	s.save()
}

// Connected says whether the agent was reported connected and not disconnected since.
func (s *Slot) Connected() bool { return s.get(slotFlags)&flagConnected != 0 }

// SetConnected records it.
func (s *Slot) SetConnected(yes bool) { s.setFlag(flagConnected, yes) }

// Converses says whether the agent's last keepalive offered a conversation, and no startup came since.
func (s *Slot) Converses() bool { return s.get(slotFlags)&flagConverses != 0 }

// SetConverses records it.
func (s *Slot) SetConverses(yes bool) { s.setFlag(flagConverses, yes) }

func (s *Slot) setFlag(flag uint64, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flags := s.word(slotFlags) &^ flag
	if yes {
		flags |= flag
	}
	if flags != s.word(slotFlags) {
		s.put(slotFlags, flags)
		s.save()
	}
}

// LastSeen is when the agent last sent something authentic and fresh, to the second; the zero time if never.
func (s *Slot) LastSeen() time.Time {
	if sec := s.get(slotSeen); sec != 0 {
		return time.Unix(int64(sec), 0)
	}
	return time.Time{}
}

// SetLastSeen records it.
func (s *Slot) SetLastSeen(t time.Time) { s.set(slotSeen, uint64(max(0, t.Unix()))) }

// Interval is the keepalive interval learned from the agent, 0 if none is known.
func (s *Slot) Interval() time.Duration {
	return time.Duration(min(s.get(slotInterval), maxInterval)) * time.Second
}

// SetInterval records it, to the second.
func (s *Slot) SetInterval(d time.Duration) { s.set(slotInterval, uint64(max(0, d/time.Second))) }

const maxInterval = 366 * 24 * 3600 // seconds; more is no interval

func (s *Slot) get(at int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.word(at)
}

func (s *Slot) set(at int, word uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.word(at) != word {
		s.put(at, word)
		s.save()
	}
}

// The rest is called with mu held, or before anyone else has the slot.

func (s *Slot) id() string { return string(bytes.TrimRight(s.mem[slotID:slotID+8], "\x00")) }

func (s *Slot) window() *proto.Window { return (*proto.Window)(s.mem[slotWindow:]) }

func (s *Slot) word(at int) uint64 { return binary.LittleEndian.Uint64(s.mem[at:]) }

func (s *Slot) put(at int, word uint64) { binary.LittleEndian.PutUint64(s.mem[at:], word) }

// known is the highest count that this slot ever had, resets or not.
func (s *Slot) known() uint64 { return max(s.window().Highest(), s.word(slotKnown)) }

// save writes the slot where the file is not mapped. A failure is for Flush to tell.
func (s *Slot) save() {
	if s.in.mmap != nil {
		return
	}
	if _, err := s.in.file.WriteAt(s.mem[:], s.at); err != nil {
		s.in.failing.Lock()
		defer s.in.failing.Unlock()
		if s.in.failure == nil {
			s.in.failure = fmt.Errorf("received counters: %w; restart with a state directory that can be written: until then they do not outlive this process", err)
		}
	}
}

// The following take mu themselves; they are for Received.

func (s *Slot) takeOver(v uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window().Raise(v)
	s.put(slotKnown, v)
	s.put(slotTold, v)
	s.save()
}

// toTell gives what the stock file should say, if that changed. From here on the file may say it.
func (s *Slot) toTell() (id string, v uint64, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v = s.window().Highest()
	if v == s.word(slotTold) {
		return "", 0, false
	}
	s.put(slotKnown, s.known())
	s.save()
	return s.id(), v, true
}

// told records that the stock file says v.
func (s *Slot) told(v uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(slotKnown, v)
	s.put(slotTold, v)
	s.save()
}

// fill makes it the slot of an agent with a key. The ID comes last: until it is there, the slot is free.
func (s *Slot) fill(id string, print [16]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.mem = [slotSize]byte{} // a kill may have left a part of one here
	copy(s.mem[slotPrint:], print[:])
	s.put(slotID, idWord(id))
	s.save()
}

// empty makes it free. The ID goes first.
func (s *Slot) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *s.mem == ([slotSize]byte{}) {
		return
	}
	s.put(slotID, 0)
	*s.mem = [slotSize]byte{}
	s.save()
}

func (s *Slot) close() {
	s.mu.Lock()
	s.mem = nil
	s.mu.Unlock()
}
