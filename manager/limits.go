package manager

import "time"

const (
	// stopWithin is what a stop may take to write out what waits; the whole has 2 s.
	stopWithin = 1700 * time.Millisecond

	// sampleSize is how many different senders a line about refused datagrams names.
	sampleSize = 3

	// Silence after which an agent counts as gone, with --disconnect-after auto: three missed keepalives and
	// some time for the network. Until the interval of an agent is known, the stock interval is assumed.
	missedKeepalives  = 3
	keepaliveGrace    = 30 * time.Second
	stockNotifyTime   = 10 * time.Minute
	keepaliveGapsKept = 4 // the longest of the last gaps is taken as the interval

	// lostCounterAfter is how many authentic messages with rising counts, all far below the last one, are
	// taken as a sign that an agent lost its counter.
	lostCounterAfter = 3

	countsEvery = 10 * time.Minute // how often the counts of sinks are logged, where they changed
	ridsEvery   = 30 * time.Second // how often the stock rids files are brought up to date
	restEvery   = 10 * time.Second // how often agents are tried again that found no room for their counter
	resetsEvery = time.Second      // how often requests to forget a counter are looked for

	promoteWithin = 5 * time.Second // how long the keys file is waited for to put new keys of agents into it
	maxGone       = 10_000          // removed agents that are remembered, to tell them so
)
