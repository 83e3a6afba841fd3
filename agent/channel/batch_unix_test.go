//go:build unix

package channel

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"ossecd/agent/source"
	"ossecd/agent/udp"
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

// spooled is a conversation with so many lines in its spool.
func spooled(t *testing.T, conn net.Conn, n int) *Conversation {
	t.Helper()
	c, box := begun(t, Config{}, true, conn)
	if _, err := box.Output("test", 0).Emit(t.Context(), lines(n)); err != nil {
		t.Fatal(err)
	}
	return c
}

// lines makes a batch of n events.
func lines(n int) []source.Event {
	var b []source.Event
	for i := range n {
		b = append(b, source.Event{Queue: '1', Location: "/var/log/test", Message: fmt.Append(nil, "line ", i)})
	}
	return b
}

// What the system does not take of a batch is sent later, and all comes once and in order.
func TestBatchIsTakenInPart(t *testing.T) {
	t.Parallel()
	for takes := range udp.MaxBatch + 2 {
		p := &picky{deaf: newDeaf(func() {}), takes: 1000, err: syscall.ENOBUFS}
		s := spooled(t, p, 3*udp.MaxBatch)
		s.Send()
		before := s.flight
		p.takes = takes
		s.Send()
		if failed := !s.retry.IsZero(); failed != (takes < udp.MaxBatch) {
			t.Errorf("%d taken: it failed: %v", takes, failed)
		}
		sent := min(takes, udp.MaxBatch)
		if got, want := s.flight.sent-before.sent, uint64(sent)*charge(100); got != want {
			t.Errorf("%d taken: %d bytes in flight, want %d", takes, got, want)
		}
		p.takes, s.retry = 1000, time.Time{}
		for s.ch.cfg.Outbox.Next() != nil {
			s.Send()
		}
		opener, n := proto.NewOpener(), 0
		for _, d := range p.taken {
			f, err := proto.ParseFrame(d)
			if err != nil {
				t.Fatal(err)
			}
			m, err := opener.Open(s.ch.sealer.cipher, f, proto.OSSEC)
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
		if n != 3*udp.MaxBatch {
			t.Errorf("%d taken: %d of %d events came", takes, n, 3*udp.MaxBatch)
		}
	}
}

// What the system never takes is passed over.
func TestBatchWithTooLong(t *testing.T) {
	t.Parallel()
	p := &picky{deaf: newDeaf(func() {}), takes: 1000, err: syscall.EMSGSIZE}
	s := spooled(t, p, udp.MaxBatch)
	p.takes, p.taken = 5, nil
	s.Send()
	if len(p.taken) != 5 || s.ch.sealer.staged != 0 || !s.retry.IsZero() {
		t.Errorf("%d taken, %d staged", len(p.taken), s.ch.sealer.staged)
	}
}
