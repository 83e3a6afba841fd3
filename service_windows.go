package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

// serviceName is under what the Event Log has what we log, whatever name the service has.
const serviceName = "ossecd"

// asService runs the program as a service, if it is Windows' service manager that started it. What goes to standard error otherwise goes to
// the Application log.
func asService() (code int, is bool) {
	is, err := svc.IsWindowsService()
	if err != nil || !is {
		return 0, false
	}
	var logs io.Writer = io.Discard
	if l, err := eventlog.Open(serviceName); err == nil {
		defer l.Close()
		logs = &lineLog{to: l}
	}
	s := &service{run: func(ctx context.Context) int { return run(ctx, os.Args, os.Stdout, logs) }}
	if err := svc.Run(serviceName, s); err != nil {
		return exitFailed, true
	}
	return int(s.code), true
}

// service does what the service manager asks for.
type service struct {
	run  func(context.Context) int
	code uint32
}

// Execute implements svc.Handler. A stop is what a signal is elsewhere.
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (ownCode bool, code uint32) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- s.run(ctx) }()
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case code := <-ended:
			status <- svc.Status{State: svc.StopPending}
			s.code = uint32(code)
			return code != 0, s.code
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending, WaitHint: uint32(2 * endWithin / time.Millisecond)}
				stop()
			}
		}
	}
}

// reporter is what the Event Log takes.
type reporter interface {
	Info(id uint32, text string) error
	Warning(id uint32, text string) error
	Error(id uint32, text string) error
}

// lineLog makes an entry of each line that is written to it.
type lineLog struct {
	to   reporter
	mu   sync.Mutex
	part []byte
}

// maxLogLine bounds an entry, in bytes; the Event Log takes some 31,000 characters.
const maxLogLine = 30_000

// Write implements io.Writer. It never fails, since nobody could be told.
func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte{'\n'})
		if !whole {
			if len(l.part) > maxLogLine {
				l.part = l.part[:maxLogLine]
			}
			return len(p), nil
		}
		l.say(line[:min(len(line), maxLogLine)])
		l.part = rest
	}
}

func (l *lineLog) say(line []byte) {
	has := func(word string) bool {
		return bytes.Contains(line, []byte("level="+word)) || bytes.Contains(line, []byte(`"level":"`+word+`"`))
	}
	const id = 1
	switch text := string(bytes.TrimRight(line, "\r")); {
	case text == "":
	case has("ERROR"), bytes.HasPrefix(line, []byte("ossecd: ")):
		l.to.Error(id, text)
	case has("WARN"):
		l.to.Warning(id, text)
	default:
		l.to.Info(id, text)
	}
}
