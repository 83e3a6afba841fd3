package agent

import (
	"log/slog"
	"time"
)

// notes logs each of its texts at most once per logEvery.
type notes struct {
	log  *slog.Logger
	next map[string]time.Time // by text, of which there are a few
}

func (n *notes) warn(text string, attrs ...any) {
	now := time.Now()
	if now.Before(n.next[text]) {
		return
	}
	n.next[text] = now.Add(logEvery)
	n.log.Warn(text, attrs...)
}
