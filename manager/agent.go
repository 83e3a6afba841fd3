package manager

import (
	"sync"
	"sync/atomic"
	"time"

	"ossecd/keys"
	"ossecd/keys/limitlog"
	"ossecd/manager/listen"
	"ossecd/manager/sink"
	"ossecd/proto"
)

// agent is what the manager knows of one agent. The key and what is made of it never change.
type agent struct {
	key    keys.Key
	cipher *proto.Cipher
	slot   *keys.Slot // its received counter, which outlives this process
	since  int64      // when we took up the key; Unix time, seconds
	sinks  *sink.Agent

	spare atomic.Pointer[spare] // a next key that is ordered, which is good, too

	queued int // its place in the watch's heap, from 1 on; guarded by the watch's mu

	mu            sync.Mutex
	method        proto.Method       // of its last valid message; answers use it
	dialect       proto.Dialect      // as last shown
	ours          bool               // an ossecd, by its keepalive
	takes         bool               // it can take up a new key, by its keepalive
	json          bool               // it reads active responses as JSON alone, by its startup or keepalive
	uses          *spare             // with which key its last fresh message came; nil: key
	talk          string             // the conversation that it takes part in, by its keepalive; empty for none
	taught        uint64             // the count of the control message that told last what it is
	back          *listen.ReturnPath // nil until it was heard
	before        uint64             // the highest count that earlier runs took
	first         uint64             // the first that this run took, 0 for none
	life          life
	presenceLimit presenceLimit
	push          *pushState // nil until it reported what shared files it has
	twins         *twins     // nil until it spoke
	faults        *faults    // nil until there is one
}

// faults are what is known of an agent with which something was wrong.
type faults struct {
	low     lowCounts
	nextLog [numReasons - authentic]int64 // when it may be complained about again, by reason; Unix time, seconds
}

func (a *agent) faulty() *faults {
	if a.faults == nil {
		a.faults = new(faults)
	}
	return a.faults
}

// forgetLow is for when counts are in order again.
func (a *agent) forgetLow() {
	if a.faults != nil {
		a.faults.low = lowCounts{}
	}
}

// mayLog says whether it is time to log something about the agent again, and notes that it was done.
func (a *agent) mayLog(why reason, now time.Time) bool {
	next := &a.faulty().nextLog[why-authentic]
	if wait := *next - now.Unix(); wait > 0 && wait <= int64(limitlog.Every/time.Second) { // more: the clock was set back
		return false
	}
	*next = now.Add(limitlog.Every).Unix()
	return true
}

func (a *agent) knownDialect() proto.Dialect {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dialect
}

// dialectOf is the dialect of a message, which Blowfish does not show: there it is that of the last AES message. a.mu is held.
func (a *agent) dialectOf(m *proto.Message) proto.Dialect {
	if m.Method == proto.AES {
		return m.Dialect
	}
	return a.dialect
}

// answerTo has answers go another way. a.mu is held.
func (a *agent) answerTo(back listen.ReturnPath) {
	if a.back == nil {
		a.back = new(listen.ReturnPath)
	}
	*a.back = back
}

// source is where the agent was last heard; empty where it was not.
func (a *agent) source() string {
	if a.back == nil {
		return ""
	}
	return a.back.To.String()
}

// lowCounts watches for an agent whose counter fell back: messages with rising counts, all too old.
type lowCounts struct {
	last    uint64
	rising  int
	startup bool
}

// note takes a message that was too old and says whether it is time to speak of a lost counter.
func (l *lowCounts) note(v uint64, startup bool) bool {
	if v <= l.last {
		*l = lowCounts{}
	}
	l.last = v
	l.rising++
	l.startup = l.startup || startup
	return l.startup && l.rising >= lostCounterAfter
}
