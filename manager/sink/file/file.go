// Package file writes events to files and standard output: as JSON lines, or in the text form of the stock archives.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/sink"
)

// Options say what file, and when it is set aside for a new one. The zero values of the latter mean: never.
type Options struct {
	Path     string
	Archives bool          // the text form of the stock archives, not JSON lines
	MaxSize  int64         // bytes; a file is set aside before it grows beyond
	Daily    bool          // a file is set aside at the first event of another day, local time
	Keep     int           // how many files that were set aside are kept; 0 is all
	MaxAge   time.Duration // for how long; 0 is for ever
	Compress bool          // gzip those
}

// File is a sink that appends to a file. Named pipes and devices are written to as well; these are never set aside.
type File struct {
	o     Options
	log   *slog.Logger
	watch *watch // nil for what is no regular file

	mu      sync.Mutex // guards what follows: the watch opens the file anew while nothing is written
	f       *os.File
	regular bool
	size    int64
	day     string // on which the last event was written
	lines   lines
	aside   time.Time // in the name of the file set aside last; the next has a later one, or it would be taken for older
	limited *limitlog.Logger
	looked  time.Time // when it was last seen to have its name
	tidy    *tidy     // nil where nothing is ever set aside
}

// mode is that of new files: events are for their owner to write and a group to read.
const mode = 0o640

const dayForm = "2006-01-02"

// Open opens or makes the file. For a named pipe it waits for a reader, or until ctx ends.
func Open(ctx context.Context, o Options, log *slog.Logger) (*File, error) {
	if info, err := os.Stat(o.Path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		log.Info("the events go to a named pipe; waiting for its reader", "events", o.Path)
	}
	f := &File{o: o, log: log, limited: limitlog.New(log), lines: newLines(o.Archives)}
	opened := make(chan error, 1)
	go func() { opened <- f.open() }()
	select {
	case err := <-opened:
		if err != nil {
			return nil, fmt.Errorf("events: %w; name a file in a directory that exists and can be written", err)
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.regular && (o.MaxSize > 0 || o.Daily) {
		f.tidy = startTidy(o, log)
	}
	if f.regular {
		f.watch = startWatch(f)
	}
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.o.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, mode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.f, f.regular, f.size = file, info.Mode().IsRegular(), info.Size()
	f.lines.torn = f.regular && f.size > 0 && f.isTorn()
	f.day = time.Now().Format(dayForm)
	if f.size > 0 {
		f.day = info.ModTime().Format(dayForm)
	}
	return nil
}

// isTorn says that the file's last line has no end, as a full disk and a kill leave it.
func (f *File) isTorn() bool {
	r, err := os.Open(f.o.Path)
	if err != nil {
		return false // we may write it alone
	}
	defer r.Close()
	var last [1]byte
	_, err = r.ReadAt(last[:], f.size-1)
	return err == nil && last[0] != '\n'
}

// Write appends events. A line that could be written in part only is completed by the next Write, in the same file.
func (f *File) Write(_ context.Context, events sink.Batch) (sink.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked).Abs() >= lookEvery {
		if err := f.follow(now); err != nil {
			return sink.Result{}, err
		}
	}
	f.lines.make(events)
	if f.tidy != nil && f.lines.begun == 0 && !f.lines.torn {
		f.setAside()
	}
	n, done, err := f.lines.write(f.f)
	f.size += int64(n)
	return sink.Result{Done: done}, err
}

// setAside begins a new file where it is time for one. Where that fails the old one is written on.
func (f *File) setAside() {
	day := time.Now().Format(dayForm)
	due := f.o.Daily && day != f.day || f.o.MaxSize > 0 && f.size+int64(len(f.lines.text)) > f.o.MaxSize
	if f.size == 0 || !due {
		f.day = day
		return
	}
	if err := f.change(); err != nil {
		f.limited.Error("a file of events could not be rotated; ossecd goes on writing to it", "events", f.o.Path, "err", err,
			"remedy", "let this user rename and create files in the directory")
		return
	}
	f.day = day
	f.tidy.nudge()
}

// change renames the file and opens a new one under its name.
func (f *File) change() error {
	now := time.Now()
	if soonest := f.aside.Add(time.Millisecond); now.Before(soonest) {
		now = soonest
	}
	aside, now, err := asideName(f.o.Path, now)
	if err != nil {
		return err
	}
	f.aside = now
	if err := os.Rename(f.o.Path, aside); err != nil {
		return err
	}
	old := f.f
	if err := f.open(); err != nil {
		return errors.Join(err, os.Rename(aside, f.o.Path))
	}
	return old.Close()
}

// lookEvery is how long events go, at most, into a file that was renamed or removed, while there are any.
const lookEvery = 100 * time.Millisecond

// follow opens a new file where another program has renamed or removed the one that is open, and told nobody. Where that
// fails events wait: what is written to a file without a name is lost with it.
func (f *File) follow(now time.Time) error {
	was := f.f
	if err := f.reopen(); err != nil {
		return fmt.Errorf("%s was renamed or removed, and no new file can be opened: %w; events wait until it can", f.o.Path, err)
	}
	if f.f != was {
		f.log.Warn("the events file was renamed or removed; a new one is written", "events", f.o.Path,
			"remedy", "none needed; a program that rotates the file can send SIGHUP after it has renamed it")
	}
	f.looked = now
	return nil
}

// Reopen opens the file by its name where another program has renamed or removed it.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reopen()
}

func (f *File) reopen() error {
	if !f.regular {
		return nil // what reads a pipe would take it for the end
	}
	now, nowErr := os.Stat(f.o.Path)
	was, wasErr := f.f.Stat()
	if nowErr == nil && wasErr == nil && os.SameFile(now, was) {
		return nil
	}
	old := f.f
	if err := f.open(); err != nil {
		return fmt.Errorf("%w; ossecd goes on writing to the old file", err)
	}
	if f.lines.begun > 0 {
		f.lines.begun = 0
		old.Write([]byte{'\n'}) // the rest of its last line stands whole in the new file
	}
	return old.Close()
}

// Close ends it.
func (f *File) Close() error {
	if f.watch != nil {
		f.watch.close()
	}
	if f.tidy != nil {
		f.tidy.close()
	}
	return f.f.Close()
}

// Stream is a sink that writes to what is open already.
type Stream struct {
	w     io.Writer
	lines lines
}

// NewStream makes a sink that writes to w.
func NewStream(w io.Writer, archives bool) *Stream { return &Stream{w: w, lines: newLines(archives)} }

// Write writes events. A broken pipe at standard output is sink.ErrGone: what read from it is gone, and no other can
// take its place. (With a named pipe one can.)
func (s *Stream) Write(_ context.Context, events sink.Batch) (sink.Result, error) {
	s.lines.make(events)
	_, done, err := s.lines.write(s.w)
	if s.w == os.Stdout && errors.Is(err, syscall.EPIPE) {
		err = fmt.Errorf("events: %w: %w; start the manager together with it, or write to a file with --events", err, sink.ErrGone)
	}
	return sink.Result{Done: done}, err
}

// Close leaves w open.
func (s *Stream) Close() error { return nil }
