package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/windows/svc"
)

// A service stops when it is told to, and tells the service manager with what code it ended.
func TestService(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 1} {
		s := &service{run: func(ctx context.Context) int {
			<-ctx.Done()
			return code
		}}
		requests, status := make(chan svc.ChangeRequest), make(chan svc.Status, 10)
		type result struct {
			own  bool
			code uint32
		}
		ended := make(chan result)
		go func() {
			own, code := s.Execute(nil, requests, status)
			ended <- result{own, code}
		}()
		if got := <-status; got.State != svc.Running || got.Accepts != svc.AcceptStop|svc.AcceptShutdown {
			t.Errorf("began as %+v", got)
		}
		requests <- svc.ChangeRequest{Cmd: svc.Interrogate, CurrentStatus: svc.Status{State: svc.Running, CheckPoint: 7}}
		if got := <-status; got.CheckPoint != 7 {
			t.Errorf("answered %+v", got)
		}
		requests <- svc.ChangeRequest{Cmd: svc.Stop}
		select {
		case got := <-ended:
			if got.own != (code != 0) || got.code != uint32(code) {
				t.Errorf("ended with %+v, want %d", got, code)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it does not stop")
		}
	}
}

// reports is an Event Log.
type reports []string

func (r *reports) Info(id uint32, text string) error    { return r.add("info", text) }
func (r *reports) Warning(id uint32, text string) error { return r.add("warning", text) }
func (r *reports) Error(id uint32, text string) error   { return r.add("error", text) }
func (r *reports) add(kind, text string) error {
	*r = append(*r, kind+" "+text)
	return nil
}

func TestLineLog(t *testing.T) {
	t.Parallel()
	var r reports
	l := &lineLog{to: &r}
	for _, part := range []string{"time=1 level=INFO msg=a\ntime=2 lev", "el=WARN msg=b\r\n\n", `{"level":"ERROR","msg":"c"}` + "\n", "ossecd: no such file\n", "rest"} {
		fmt.Fprint(l, part)
	}
	want := []string{"info time=1 level=INFO msg=a", "warning time=2 level=WARN msg=b", `error {"level":"ERROR","msg":"c"}`, "error ossecd: no such file"}
	if !slices.Equal(r, want) {
		t.Errorf("got %q", r)
	}
}
