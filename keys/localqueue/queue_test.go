//go:build linux

// Other systems refuse datagrams at rates where Linux has their writer wait.

package localqueue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const deadline = 20 * time.Second // of every wait; none should come near it

// served is a queue that is being served.
type served struct {
	*testing.T
	path  string
	takes chan string
	done  chan error
	stop  context.CancelFunc
	log   bytes.Buffer
}

func serve(t *testing.T, lost func(error) error) *served {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock") // a name that leaves room for a socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &served{T: t, path: filepath.Join(dir, "queue"), takes: make(chan string, 10), done: make(chan error, 1)}
	q, err := Open(s.path, slog.New(slog.NewTextHandler(&s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	q.look = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	go func() { s.done <- q.Serve(ctx, func(b []byte) { s.takes <- string(b) }, lost) }()
	return s
}

func (s *served) dial() *net.UnixConn {
	s.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
		c, err := dial(s.path)
		if err == nil {
			s.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(end) {
			s.Fatal(err)
		}
	}
}

func (s *served) wants(c net.Conn, text string) {
	s.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		s.Fatal(err)
	}
	select {
	case got := <-s.takes:
		if got != text {
			s.Errorf("got %q, want %q", got, text)
		}
	case <-time.After(deadline):
		s.Fatalf("%q did not come", text)
	}
}

func (s *served) ends() error {
	s.Helper()
	select {
	case err := <-s.done:
		return err
	case <-time.After(deadline):
		s.Fatal("it does not end")
		return nil
	}
}

// A socket whose file was removed is made anew; who had connected to the one before is still heard.
func TestRemoved(t *testing.T) {
	t.Parallel()
	s := serve(t, func(err error) error { return err })
	first := s.dial()
	s.wants(first, "one")
	for range 3 {
		was, err := os.Lstat(s.path)
		if err != nil {
			t.Fatal(err)
		}
		before := s.dial()
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
		s.wants(s.dial(), "two")
		s.wants(before, "three")
		if now, err := os.Lstat(s.path); err != nil || os.SameFile(was, now) || now.Mode().Perm() != 0o660 {
			t.Errorf("%v %v, want another socket", now, err)
		}
	}
	if _, err := first.Write([]byte("x")); err == nil { // else one more would be open at each
		t.Error("the socket of three times before is still open")
	}
	s.stop()
	if err := s.ends(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.log.String(), "made again") {
		t.Errorf("log: %s", s.log.String())
	}
	if _, err := os.Lstat(s.path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// Another process that takes the path is noticed, and left alone. If it goes away and that may be waited for, the path is taken again.
func TestTaken(t *testing.T) {
	t.Parallel()
	for _, ends := range []bool{true, false} {
		seen := make(chan error, 1000)
		refusal := errors.New("no")
		s := serve(t, func(by error) error {
			seen <- by
			if ends {
				return refusal
			}
			return nil
		})
		s.wants(s.dial(), "one")
		other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path + "2", Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.path+"2", s.path); err != nil {
			t.Fatal(err)
		}
		select {
		case by := <-seen:
			if !strings.Contains(by.Error(), "in use by another process") {
				t.Errorf("%v: it is not ours", by)
			}
		case <-time.After(deadline):
			t.Fatal("it was not noticed")
		}
		if ends {
			if err := s.ends(); err != refusal {
				t.Errorf("ended with %v", err)
			}
			if InUse(s.path) == nil {
				t.Error("the other's socket is gone")
			}
			other.Close()
			continue
		}
		other.Close() // leaves its file
		s.wants(s.dial(), "two")
		s.stop()
		if err := s.ends(); err != nil {
			t.Error(err)
		}
	}
}
