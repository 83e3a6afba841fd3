package keygen

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressAfter is how long a run takes before it tells how far it is, and how often it does so then.
const progressAfter = 300 * time.Millisecond

// progress redraws a line on a terminal; on anything else it does nothing.
type progress struct {
	w         io.Writer // nil where it is no terminal
	what      string
	done, all int
	last      time.Time
	drawn     bool
}

func startProgress(w io.Writer, what string, all int) *progress {
	p := &progress{what: what, all: all, last: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.w = w
		}
	}
	return p
}

// step notes that one more is done.
func (p *progress) step() {
	p.done++
	if p.w == nil || p.done%256 != 0 || time.Since(p.last) < progressAfter {
		return
	}
	p.last, p.drawn = time.Now(), true
	fmt.Fprintf(p.w, "\r%s: %d of %d (%d %%)", p.what, p.done, p.all, p.done*100/p.all)
}

// stop wipes the line.
func (p *progress) stop() {
	if p.drawn {
		fmt.Fprintf(p.w, "\r%60s\r", "")
	}
}
