package sendtest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	progressEvery = 200 * time.Millisecond
	barWidth      = 24 // characters
)

// progress redraws a line on a terminal; on anything else it does nothing.
type progress struct {
	end  chan struct{}
	done chan struct{}
}

func startProgress(w io.Writer, what string, total int64, done *atomic.Int64) *progress {
	p := &progress{end: make(chan struct{}), done: make(chan struct{})}
	if !isTerminal(w) {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		defer fmt.Fprintf(w, "\r%79s\r", "")
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for began := time.Now(); ; {
			select {
			case <-p.end:
				return
			case <-tick.C:
				fmt.Fprintf(w, "\r%-78.78s", progressLine(what, done.Load(), total, time.Since(began)))
			}
		}
	}()
	return p
}

// stop wipes the line.
func (p *progress) stop() {
	close(p.end)
	<-p.done
}

func progressLine(what string, done, total int64, took time.Duration) string {
	filled := int(done * barWidth / total)
	rate := float64(done) / took.Seconds()
	left := "-"
	if done > 0 {
		left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("%-6s [%-*s] %3d %%  %d/%d  %.0f/s  %s left", what, barWidth, strings.Repeat("=", filled), done*100/total, done, total, rate, left)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
