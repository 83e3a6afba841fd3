package journald

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"ossecd/agent/source"
)

const (
	maxLine    = 8 << 20 // bytes; a message with bytes that are no text takes four for each
	maxBatch   = 256     // entries
	batchBytes = 256 << 10
	queued     = 64 // entries that were read ahead
	killAfter  = time.Second

	maxComplaint = 5   // lines of journalctl's complaints that are logged
	maxErrText   = 300 // bytes of each
)

// follower is one Run of a Source.
type follower struct {
	*Source
	out    source.Output
	cursor cursor // of what was sent
	dirty  bool   // it is newer than what was saved
	saved  time.Time
	failed string // how saving failed last
}

// emitError is an error of Emit.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// follow runs journalctl once, and says whether it gave an entry. The error is nil where it ended well.
func (f *follower) follow(ctx context.Context) (got bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	argv := append(f.cfg.Program[:len(f.cfg.Program):len(f.cfg.Program)], f.args(f.cursor)...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0")
	cmd.Stderr = &complaint{log: f.cfg.Log}
	cmd.WaitDelay = killAfter
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	entries := make(chan entry, queued)
	go func() {
		defer close(entries)
		f.read(ctx, stdout, entries)
	}()
	got, err = f.emitAll(ctx, entries)
	if err != nil {
		cancel()
	}
	for range entries { // until the reader has ended
	}
	waited := cmd.Wait()
	if err != nil {
		return got, err
	}
	return got, waited
}

// read parses what journalctl writes until its end.
func (f *follower) read(ctx context.Context, from io.Reader, entries chan<- entry) {
	lines := bufio.NewReaderSize(from, 64<<10)
	var long []byte
	complained := false
	complain := func(err error) {
		if !complained {
			complained = true
			f.cfg.Log.Warn("output of journalctl cannot be read and is left out", "err", err, "remedy", "check that this is systemd's journalctl")
		}
	}
	for {
		line, err := readLine(lines, &long)
		if err == nil || len(line) > 0 && err == io.EOF {
			e, bad := parseEntry(line)
			switch {
			case bytes.HasPrefix(line, []byte("-- ")): // "-- No entries --"
			case bad == nil || bad == errEmpty:
				select {
				case entries <- e:
				case <-ctx.Done():
					return
				}
			default:
				complain(bad)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, errLong):
			complain(err)
		default:
			return
		}
	}
}

var errLong = fmt.Errorf("a line of more than %d bytes", maxLine)

// readLine reads a line without its newline. It is good until the next call. One that is too long is skipped, which is
// errLong.
func readLine(r *bufio.Reader, long *[]byte) ([]byte, error) {
	*long = (*long)[:0]
	if cap(*long) > 1<<20 {
		*long = nil
	}
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		if len(*long)+len(part) > maxLine {
			tooLong, *long = true, (*long)[:0]
		}
		if !tooLong && (err != nil || len(*long) > 0) {
			*long = append(*long, part...)
			part = *long
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case tooLong && (err == nil || err == io.EOF):
			return nil, errLong
		}
		return bytes.TrimSuffix(part, []byte("\n")), err
	}
}

// emitAll emits entries until there are no more, and notes the cursor of what was sent.
func (f *follower) emitAll(ctx context.Context, entries <-chan entry) (got bool, err error) {
	host, _ := os.Hostname()
	var events []source.Event
	var ends []int // of each entry of the batch, where its events end
	var cursors []string
	for {
		e, ok := f.next(ctx, entries)
		if !ok {
			return got, nil
		}
		got = true
		events, ends, cursors = events[:0], ends[:0], cursors[:0]
		for size := 0; ok; {
			if len(e.Message) > 0 {
				events = e.appendEvents(events, e.head(host, time.Local), f.cfg.Location, f.cfg.MaxEvent)
			}
			ends, cursors = append(ends, len(events)), append(cursors, e.Cursor)
			size += len(e.Message)
			if len(ends) == maxBatch || size >= batchBytes {
				break
			}
			select {
			case e, ok = <-entries:
			default:
				ok = false
			}
		}
		n, err := f.out.Emit(ctx, events)
		for i, end := range ends {
			if end <= n {
				f.cursor, f.dirty = cursor{Cursor: cursors[i]}, true
			}
		}
		clear(events)
		if err != nil {
			return got, &emitError{err}
		}
	}
}

// next waits for an entry. Meanwhile the cursor is saved, and out is told that there is nothing to send.
func (f *follower) next(ctx context.Context, entries <-chan entry) (entry, bool) {
	if f.dirty && time.Since(f.saved) >= f.pace.save {
		f.save()
	}
	select {
	case e, ok := <-entries:
		return e, ok
	default:
	}
	if !f.cfg.Finish {
		f.out.Idle()
	}
	var due <-chan time.Time
	if f.dirty {
		timer := time.NewTimer(time.Until(f.saved.Add(f.pace.save)))
		defer timer.Stop()
		due = timer.C
	}
	for {
		select {
		case e, ok := <-entries:
			return e, ok
		case <-due:
			f.save()
			due = nil
		case <-ctx.Done():
			return entry{}, false
		}
	}
}

// complaint is what one journalctl writes to its standard error. It is logged, the beginning at least.
type complaint struct {
	log   *slog.Logger
	lines int
}

func (c *complaint) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if line = bytes.TrimSpace(line); len(line) > 0 && c.lines < maxComplaint {
			c.lines++
			c.log.Warn("journalctl says", "text", string(line[:min(len(line), maxErrText)]))
		}
	}
	return len(p), nil
}
