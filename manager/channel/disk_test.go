package channel

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// slowDisk is a sending counter whose disk takes its time to sync: all that saves it waits.
type slowDisk struct {
	*keys.Sender
	disk sync.Mutex // held by a test while a sync lasts
}

func (s *slowDisk) Next() (proto.Counter, error) {
	s.disk.Lock()
	defer s.disk.Unlock()
	return s.Sender.Next()
}

func (s *slowDisk) Rebase() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	return s.Sender.Rebase()
}

func (s *slowDisk) RebaseSoon(failed func(error)) {
	go func() {
		if err := s.Rebase(); err != nil {
			failed(err)
		}
	}()
}

// A receiver goes on while the disk syncs the sending counter: startups are answered, and the event behind them is taken.
func TestReceiversDoNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	slow := &slowDisk{Sender: r.cfg.Sender.(*keys.Sender)}
	r.cfg.Sender = slow
	kept := new(keeps)
	r.conn = kept
	from := netip.MustParseAddrPort("192.0.2.9:1111")
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 1_800_000_000}})
	slow.disk.Lock()
	received := make(chan struct{})
	go func() {
		defer close(received)
		for range 6 {
			r.receive(seal(proto.Startup), from, netip.Addr{}, time.Now())
		}
		r.receive(seal("1:l:event"), from, netip.Addr{}, time.Now())
	}()
	select {
	case <-received:
	case <-time.After(10 * time.Second):
		t.Error("the receiver waits for the disk")
	}
	slow.disk.Unlock()
	<-received
	if n := len(kept.sent); n != 6 {
		t.Errorf("%d of 6 startups are answered", n)
	}
}
