package agent

import "time"

// What the protocol prescribes, or the stock agent does (docs/protocol.md, "Timing").
const (
	defaultPort   = "1514"
	defaultNotify = 5 * time.Minute
	minFailBack   = time.Second
	minNotify     = 100 * time.Millisecond // keepalives are no way of sending data

	// missedKeepalives is how many intervals of silence make the manager gone where TimeReconnect is not set.
	missedKeepalives = 3

	defaultSpool     = 256 // MB
	defaultSpoolSync = 5 * time.Second
	defaultProbe     = 5 * time.Second
	defaultShare     = 50 // percent
	defaultResend    = 10_000
	defaultFailBack  = 10 * time.Minute
)

var (
	// startupAt is when the startup message goes to one manager, counted from the first of a round.
	startupAt = [...]time.Duration{0, 6 * time.Second, 10 * time.Second, 15 * time.Second, 21 * time.Second}

	// roundPause is the pause after a round before the next manager of the list is tried, and after the first
	// pass through the whole list. The socket still listens meanwhile.
	roundPause = 2 * time.Second

	// passPauses are the pauses after the second pass, the third, and all later ones. Each is drawn from three
	// quarters to five quarters of it, so that the agents of a manager that comes back do not all speak at once.
	passPauses = [...]time.Duration{20 * time.Second, time.Minute}

	// repeatAt is when an unanswered keepalive is repeated, counted from its sending.
	repeatAt = [...]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}
)

// What we chose.
const (
	// window bounds what is on the way without a sign that the manager's host took it in, in bytes as a Linux kernel
	// charges them: 115 short lines. A socket buffers 212,992 bytes by default, of which up to a quarter may still be
	// charged for what was read already; the rest is left for keepalives and the agents next to us. Half of the window is
	// probed ahead, so that the answer is there before the other half is used up.
	window        = 144 << 10
	packetRecord  = 256 // the kernel's record of a datagram
	packetHead    = 448 // what it keeps beside the data, in the same piece of memory, whose size is a power of two
	packetLeast   = 1 << 10
	packetWrapped = 160 // what sealing adds to a message at most

	// A keepalive that was not answered in twice the time that answers take is given up when another answer
	// comes: so many seconds while that time is not known, and never less or more than this. Giving up too
	// early opens the window before its time, too late keeps it shut while answers are lost.
	answerFirst = 2 * time.Second
	answerLeast = 250 * time.Millisecond
	answerMost  = 10 * time.Second

	// anotherAfter is how often a keepalive must have been repeated in vain for acknowledgements without the conversation's name to mean
	// that another program has taken the manager's place.
	anotherAfter = 2
	anotherEvery = time.Minute // how often that is believed, at most

	// goneAfter is how many keepalives in a row must have had no answer for the manager to have been gone, and not just
	// an answer lost. They are sent 1, 2, 4 … s apart while events wait, so that is some seconds. A manager that is ours says
	// itself that it started anew.
	goneAfter = 3

	// Events that an earlier run of the manager did not get are sent again so often at once, and then once so often: a manager that
	// names ever new runs must not have the same events sent without end.
	resendBurst = 10
	resendEvery = 10 * time.Second

	// maxProbes bounds the unanswered keepalives that are remembered. Those of the longest silence fit.
	maxProbes = 64

	// waitProbe is when an unanswered probe is repeated while nothing else may be sent: then after twice that,
	// and so on, up to waitProbeMost between two.
	waitProbe     = time.Second
	waitProbeMost = time.Minute

	// retryWrite is the pause before the next try where the system would not take a datagram, and
	// brokenWrite is for how long it may refuse before a new socket is made: the host may have moved to
	// another network, where the old source address leads nowhere.
	retryWrite  = 250 * time.Millisecond
	brokenWrite = 20 * time.Second

	// failBackHellos is how many startup messages the first manager gets each time it is looked for.
	failBackHellos = 2

	// paceStep is how long the channel pauses at most at one go for the rate, where the burst allows it.
	paceStep = 10 * time.Millisecond

	// slice is how many events are sealed before the agent looks whether something else is to be done.
	slice = 16

	// dialWithin bounds the resolution of a name.
	dialWithin = 10 * time.Second

	// settleWithin is how long a stop waits for the answer to what was sent last.
	settleWithin = time.Second

	// stopWithin bounds a last write to a socket that takes nothing; the whole stop has 2 s.
	stopWithin = 500 * time.Millisecond

	// speakEvery is how often a keepalive is said on demand, so that a manager which demands it at every turn
	// does not keep the agent from its work.
	speakEvery = time.Second

	// lostCounterAfter is how many authentic messages of the manager with rising counts, all far below its last
	// one, are taken as a sign that it lost its counter.
	lostCounterAfter = 3

	// maxEventWazuh leaves room for the case that an event does not compress at all: sealed, it must fit a
	// datagram of IPv4.
	maxEventWazuh = 65_000

	// ridsEvery is how often the stock file of the manager's count is brought up to date.
	ridsEvery = 30 * time.Second

	// readDatagram is what one read takes; a datagram has less.
	readDatagram = 1 << 16

	// inboxSize is how many messages of the manager wait for the owner of the session. A pushed file comes in
	// bursts of 30.
	inboxSize = 64
)
