package sink

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LogLeftovers warns of events that no sink of the configuration is for: theirs was renamed, or taken out. earlier is the directory in which an
// earlier version kept a queue for each sink.
func LogLeftovers(s *Sinks, earlier string) {
	var forgotten []string
	for place, n := range s.Absent() {
		name, ok := NameOf(place)
		if !ok {
			name = place
		}
		if n > 0 {
			forgotten = append(forgotten, fmt.Sprintf("%q: %d events", name, n))
		} else if err := s.Forget(place); err != nil {
			s.log.Warn("the place of a sink that no longer exists is not removed from the journal", "err", err)
		}
	}
	entries, _ := os.ReadDir(earlier) // an earlier version made it
	for _, e := range entries {
		name, ok := NameOf(e.Name())
		if !ok || !e.IsDir() || slices.ContainsFunc(s.list, func(d *delivery) bool { return d.Place == e.Name() }) {
			continue
		}
		own := filepath.Join(earlier, e.Name())
		if n := Earlier(own, s.log); n > 0 {
			forgotten = append(forgotten, fmt.Sprintf("%q: %d events in %s", name, n, own))
		}
	}
	if len(forgotten) > 0 {
		slices.Sort(forgotten)
		s.log.Warn("events wait for sinks that no longer exist", "sinks", strings.Join(forgotten, ", "),
			"remedy", "give a sink that name until they are delivered; or, to drop them, stop the manager and remove STATE/journal/cursor-NAME, or the directory that is named")
	}
}
