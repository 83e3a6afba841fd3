package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ossecd/agent"
	"ossecd/agent/source"
	"ossecd/keys"
	"ossecd/keys/marked"
	"ossecd/manager"
)

const (
	demoEvery     = 2 * time.Second // between generated lines
	demoRecent    = 5               // lines of each file that are shown at once
	demoRecentMax = 4 << 10         // bytes of them
	demoFiles     = 20              // files found that are followed
)

// demo is "ossecd manager --demo": a manager and an agent in one process, over a real socket on loopback, with a key
// and state that are thrown away. The agent follows files, or without any the usual logs of this machine that it may
// read; so that something moves at once, it begins with their last lines and makes lines of its own.
func demo(ctx context.Context, files []string, log *slog.Logger) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // the end of the terminal
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signal.Ignore(syscall.SIGPIPE) // "ossecd manager --demo | head" is to end in order too

	dir, err := os.MkdirTemp("", "ossecd-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w; set TMPDIR to a directory that this user may write to", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	keysFile := filepath.Join(dir, "client.keys") // serves both ends
	key := keys.Key{ID: "001", Name: "demo", Address: keys.Any, Secret: keys.NewSecret()}
	if err := os.WriteFile(keysFile, []byte(key.Line()+"\n"), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if len(files) == 0 {
		files = usualLogs()
	}
	log.Info("demo: a manager and an agent, in this process and on this machine only; Ctrl-C ends it", "files", len(files), "state", dir)

	// The manager starts first and stops last.
	managerCtx, stopManager := context.WithCancel(context.WithoutCancel(ctx))
	defer stopManager()
	ready := make(chan netip.AddrPort, 1)
	done := make(chan error, 1)
	go func() {
		err := manager.Run(managerCtx, manager.Config{
			Keys: keysFile, State: filepath.Join(dir, "manager"), Listen: []string{"127.0.0.1:0"},
			Out: &endingWriter{os.Stdout, cancel}, Version: version(),
			Ready: func(addrs []netip.AddrPort) { ready <- addrs[0] },
		}, log.With("end", "manager"))
		cancel(err)
		done <- err
	}()
	var agentErr error
	select {
	case addr := <-ready:
		agentErr = agent.Run(ctx, agent.Config{
			Keys: keysFile, State: filepath.Join(dir, "agent"), Managers: []string{addr.String()},
			Intake: agent.Intake{Files: files, Sources: []source.Source{recentLines{files}, generator{}}}, Version: version(),
		}, log.With("end", "agent"))
		if ctx.Err() != nil && errors.Is(agentErr, context.Cause(ctx)) {
			agentErr = nil // the cause is told by whoever gave it
		}
	case <-ctx.Done():
	}
	stopManager()
	err = errors.Join(agentErr, <-done)
	if errors.Is(context.Cause(ctx), errReaderGone) {
		return nil
	}
	return err
}

// usualLogs are the logs of this machine that may be read.
func usualLogs() []string {
	var found []string
	for _, pattern := range []string{"/var/log/syslog", "/var/log/messages", "/var/log/*.log"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			panic(err) // a pattern of ours
		}
		for _, p := range paths {
			if readable(p) && len(found) < demoFiles {
				found = append(found, p)
			}
		}
	}
	return found
}

func readable(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// errReaderGone ends the demo when nobody reads its events any more.
var errReaderGone = errors.New("nobody reads the events")

// endingWriter calls cancel at the first failed write, and takes everything from then on.
type endingWriter struct {
	w      io.Writer
	cancel context.CancelCauseFunc
}

func (e *endingWriter) Write(p []byte) (int, error) {
	if _, err := e.w.Write(p); err != nil {
		e.w = io.Discard
		e.cancel(errReaderGone)
	}
	return len(p), nil
}

// recentLines is a source of the last lines that files have when it starts.
type recentLines struct{ globs []string }

func (r recentLines) Run(ctx context.Context, out source.Output) error {
	defer out.Idle()
	for _, g := range r.globs {
		paths, err := filepath.Glob(g)
		if err != nil {
			return err
		}
		if !slices.Contains(paths, g) {
			paths = append(paths, g) // as it stands, it may be one
		}
		for _, p := range paths {
			if !readable(p) {
				continue
			}
			var batch []source.Event
			for _, line := range lastLines(p) {
				batch = append(batch, source.Event{Queue: '1', Location: p, Message: line})
			}
			if _, err := out.Emit(ctx, batch); err != nil {
				return nil // ctx has ended
			}
		}
	}
	return nil
}

// lastLines are the last whole lines of a file, none where it cannot be read.
func lastLines(path string) [][]byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	from := max(0, size-demoRecentMax)
	text, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return nil
	}
	if from == 0 {
		text = marked.Text(text)
	}
	lines := bytes.Split(text, []byte("\n"))
	lines = lines[:len(lines)-1] // what follows the last line end
	if from > 0 && len(lines) > 0 {
		lines = lines[1:] // begins before from
	}
	lines = lines[max(0, len(lines)-demoRecent):]
	for i, line := range lines {
		lines[i] = bytes.TrimSuffix(line, []byte("\r"))
	}
	return lines
}

// generator is a source that makes a line now and then.
type generator struct{}

func (generator) Run(ctx context.Context, out source.Output) error {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		line := fmt.Appendf(nil, "%s %s ossecd-demo[%d]: line %d made up for the demo", time.Now().Format(time.Stamp), host, os.Getpid(), n)
		if _, err := out.Emit(ctx, []source.Event{{Queue: '1', Location: "demo", Message: line}}); err != nil {
			return nil // ctx has ended
		}
		out.Idle()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
