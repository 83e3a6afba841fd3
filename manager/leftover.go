package manager

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ossecd/keys/durable/queue"
)

// tellLeftovers warns of events on the disk that no sink of the configuration is for: theirs was renamed, taken out, or has no
// queue_disk any more.
func (c *Config) tellLeftovers(log *slog.Logger) {
	dir := filepath.Join(c.State, sinksDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // none was ever made; or who has a queue there will tell
	}
	var forgotten []string
	for _, e := range entries {
		own := filepath.Join(dir, e.Name())
		if !e.IsDir() || slices.ContainsFunc(c.plans, func(p plan) bool { return p.spec.Disk.Dir == own }) {
			continue
		}
		name, ok := sinkOfDir(e.Name())
		if !ok {
			continue // not ours
		}
		switch n, err := waiting(own, log); {
		case err != nil:
			forgotten = append(forgotten, fmt.Sprintf("%q: %v", name, err))
		case n > 0:
			forgotten = append(forgotten, fmt.Sprintf("%q: %d events", name, n))
		}
	}
	if len(forgotten) > 0 {
		log.Warn("events wait on the disk for sinks that no longer exist", "dir", dir, "sinks", strings.Join(forgotten, ", "),
			"remedy", "give a sink that name and a queue_disk until they are delivered, or remove their directory to drop them")
	}
}

// waiting is how many events a queue has that nobody is for.
func waiting(dir string, log *slog.Logger) (uint64, error) {
	q, err := queue.Open(queue.Config{Dir: dir, Limit: queue.MinLimit, Log: log})
	if err != nil {
		return 0, err
	}
	return q.Reader(0).Waiting(), q.Close()
}

// sinkOfDir is the name of the sink that dirName made a name for.
func sinkOfDir(dir string) (string, bool) {
	var b strings.Builder
	for rest := dir; rest != ""; {
		if rest[0] != '=' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return "", false
		}
		c, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		rest = rest[3:]
	}
	return b.String(), dirName(b.String()) == dir
}
