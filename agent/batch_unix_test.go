//go:build unix

package agent

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"ossecd/keys/durable/queue"
	"ossecd/proto"
)

// picky is a socket that takes some datagrams and then fails.
type picky struct {
	*deaf
	takes int
	err   error
	taken [][]byte
}

func (p *picky) Write(d []byte) (int, error) {
	if n, err := p.WriteBatch([][]byte{d}); n == 0 {
		return 0, err
	}
	return len(d), nil
}

func (p *picky) WriteBatch(datagrams [][]byte) (n int, err error) {
	for _, d := range datagrams {
		if p.takes == 0 {
			return n, p.err
		}
		p.takes--
		p.taken = append(p.taken, bytes.Clone(d))
		n++
	}
	return n, nil
}

// spooledSession is a session with so many lines in its spool.
func spooledSession(t *testing.T, conn net.Conn, n int) *session {
	t.Helper()
	s, box := sessionOf(t, Config{SpoolSize: queue.MinLimit}, func() net.Conn { return conn })
	if _, err := box.Output("test", 0).Emit(t.Context(), lines(0, n)); err != nil {
		t.Fatal(err)
	}
	return s
}

// What the system does not take of a batch is sent later, and all comes once and in order.
func TestBatchIsTakenInPart(t *testing.T) {
	t.Parallel()
	for takes := range slice + 2 {
		p := &picky{deaf: newDeaf(func() {}), takes: 1000, err: syscall.ENOBUFS}
		s := spooledSession(t, p, 3*slice)
		s.emit()
		before := s.flight
		p.takes = takes
		s.emit()
		if failed := !s.retry.IsZero(); failed != (takes < slice) {
			t.Errorf("%d taken: it failed: %v", takes, failed)
		}
		sent := min(takes, slice)
		if got, want := s.flight.sent-before.sent, uint64(sent)*charge(100); got != want {
			t.Errorf("%d taken: %d bytes in flight, want %d", takes, got, want)
		}
		p.takes, s.retry = 1000, time.Time{}
		for s.out.Next() != nil {
			s.emit()
		}
		opener, n := proto.NewOpener(), 0
		for _, d := range p.taken {
			f, err := proto.ParseFrame(d)
			if err != nil {
				t.Fatal(err)
			}
			m, err := opener.Open(s.sealed.cipher, f, proto.OSSEC)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(m.Payload); !proto.IsControl(m.Payload) && !strings.Contains(text, "ossec: Agent started") {
				if want := fmt.Sprint("1:/var/log/test:line ", n); text != want {
					t.Fatalf("%d taken: %q came, want %q", takes, text, want)
				}
				n++
			}
		}
		if n != 3*slice {
			t.Errorf("%d taken: %d of %d events came", takes, n, 3*slice)
		}
	}
}

// What the system never takes is passed over.
func TestBatchWithTooLong(t *testing.T) {
	t.Parallel()
	p := &picky{deaf: newDeaf(func() {}), takes: 1000, err: syscall.EMSGSIZE}
	s := spooledSession(t, p, slice)
	p.takes, p.taken = 5, nil
	s.emit()
	if len(p.taken) != 5 || s.sealed.staged != 0 || !s.retry.IsZero() {
		t.Errorf("%d taken, %d staged", len(p.taken), s.sealed.staged)
	}
}
