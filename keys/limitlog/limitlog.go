// Package limitlog logs each message at most once a minute, so that a log stays readable while something goes wrong again and again.
package limitlog

import (
	"log/slog"
	"sync"
	"time"
)

// Every is how often one thing is logged at most.
const Every = time.Minute

// Logger logs each of its messages at most once per Every. It may be used by many goroutines.
type Logger struct {
	log  *slog.Logger
	mu   sync.Mutex
	next map[string]*Limit // by message, of which there are a few
}

// New makes a Logger that logs to log.
func New(log *slog.Logger) *Logger { return &Logger{log: log, next: make(map[string]*Limit)} }

// Warn logs a warning, unless the same message was logged a short while ago.
func (l *Logger) Warn(message string, attrs ...any) {
	if l.due(message) {
		l.log.Warn(message, attrs...)
	}
}

// Error logs an error, unless the same message was logged a short while ago.
func (l *Logger) Error(message string, attrs ...any) {
	if l.due(message) {
		l.log.Error(message, attrs...)
	}
}

func (l *Logger) due(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.next[message]
	if limit == nil {
		limit = new(Limit)
		l.next[message] = limit
	}
	return limit.Due(time.Now())
}

// Limit says when one thing may be logged again. The zero Limit lets it be logged now. Its owner guards it.
type Limit struct{ next int64 } // Unix time, nanoseconds

// Due says whether it is time to log, and notes that it was done.
func (l *Limit) Due(now time.Time) bool {
	if wait := l.next - now.UnixNano(); wait > 0 && wait <= int64(Every) { // more: the clock was set back
		return false
	}
	l.next = now.Add(Every).UnixNano()
	return true
}
