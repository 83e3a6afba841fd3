// Package manager assembles the receiving end of the channel out of its rooms: it opens them in the order in which they are used, and ends
// them in reverse. docs/design.md says what each room holds.
//
//	listen ── channel ── fleet ── report ─┐
//	             │         ├── share      ├── journal ── sink: files and others
//	             │         ├── order      │
//	             │         └── control    │
//	             └──────── events ────────┘
package manager
