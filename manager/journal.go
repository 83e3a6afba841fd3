package manager

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ossecd/keys"
	"ossecd/manager/control"
	"ossecd/manager/journal"
	"ossecd/manager/sink"
)

// openJournal opens the journal, and learns from it how far the events of each agent got.
func (m *manager) openJournal() error {
	dir := filepath.Join(m.cfg.State, journalDir)
	if _, err := os.Stat(dir); err == nil {
		m.last = make(map[uint64]uint64)
	}
	j := m.cfg.Journal
	err := m.sinks.OpenJournal(journal.Config{
		Dir: dir, Limit: int64(j.Size) << 20, Keep: j.Keep, Sync: j.Sync,
		Memory: j.QueueSize << 20, Share: j.AgentShare,
		Visit: func(record []byte) {
			if m.last == nil {
				return
			}
			if key, count := sink.Origin(record); count > m.last[key] {
				m.last[key] = count
			}
		},
	})
	if err == nil {
		m.tellLeftovers()
	}
	return err
}

// journalStatus is what the journal holds.
func (m *manager) journalStatus() control.JournalStatus {
	s := control.JournalStatus{Limit: int64(m.cfg.Journal.Size) << 20}
	var oldest time.Time
	if s.Bytes, s.Events, oldest = m.sinks.Held(); !oldest.IsZero() {
		oldest = oldest.UTC()
		s.Oldest = &oldest
	}
	return s
}

// keptBefore is the highest count of an agent that can be told to have arrived: what was counted and not written before a kill has not. What
// an agent of ours sent since its last answer and that is not in the newest part of the journal is sent again, rather than never.
func (m *manager) keptBefore(slot *keys.Slot) uint64 {
	highest := slot.Highest()
	if m.last == nil {
		return highest
	}
	return min(highest, m.last[slot.Print()])
}

// tellLeftovers warns of events that no sink of the configuration is for: theirs was renamed, or taken out.
func (m *manager) tellLeftovers() {
	var forgotten []string
	for place, n := range m.sinks.Absent() {
		name, ok := sink.NameOf(place)
		if !ok {
			name = place
		}
		if n > 0 {
			forgotten = append(forgotten, fmt.Sprintf("%q: %d events", name, n))
		} else if err := m.sinks.Forget(place); err != nil {
			m.log.Warn("the place of a sink that no longer exists is not removed from the journal", "err", err)
		}
	}
	dir := filepath.Join(m.cfg.State, sinksDir)
	entries, _ := os.ReadDir(dir) // an earlier version made it
	for _, e := range entries {
		name, ok := sink.NameOf(e.Name())
		if !ok || !e.IsDir() || slices.ContainsFunc(m.cfg.plans, func(p sink.Spec) bool { return p.Place == e.Name() }) {
			continue
		}
		own := filepath.Join(dir, e.Name())
		if n := sink.Earlier(own, m.log); n > 0 {
			forgotten = append(forgotten, fmt.Sprintf("%q: %d events in %s", name, n, own))
		}
	}
	if len(forgotten) > 0 {
		slices.Sort(forgotten)
		m.log.Warn("events wait for sinks that no longer exist", "sinks", strings.Join(forgotten, ", "),
			"remedy", "give a sink that name until they are delivered; or, to drop them, stop the manager and remove STATE/journal/cursor-NAME, or the directory that is named")
	}
}
