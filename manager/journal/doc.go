// Package journal keeps everything that a manager accepts, once, until all who read it are done with it.
//
//	receivers ── Put ──▶ tail (memory) ── one goroutine, one write for all that gathered ──▶ segments (disk)
//	                       │                                                                     │
//	                       └── Reader that is caught up                       Reader that is behind ┘
//
// Put never waits: it copies records into the tail under one short lock. What they say is up to who puts them in. Each Reader has a
// place of its own, which outlives the process. For each of them
//
//	received = delivered + pending + lost
//
// holds at any time.
//
// A record is safe once it is written (the system keeps it then, however the process ends), or once all readers are done with
// it: When tells. While the disk takes nothing, readers are given records that are not written, so that those who can go on do.
package journal
