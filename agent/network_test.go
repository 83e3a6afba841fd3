package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
	"ossecd/proto/simnet"
)

func TestFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		second := netip.MustParseAddrPort("[2001:db8::9]:1515")
		a := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		b := newFakeManager(t, n, second, anyKey, proto.Blowfish, proto.OSSEC)
		b.setCount(proto.Counter{Global: 7}) // another manager, another count
		n.Cut(managerAddr.Addr())
		r := newRig(t, n, anyKey)
		r.cfg.Managers = append(r.cfg.Managers, second.String())
		r.start()
		time.Sleep(24 * time.Second)
		wantTimeline(t, a.take(), "")
		wantTimeline(t, b.take(), `
			23 startup
			23 1:ossec:ossec: Agent started: 'dyn2->any'.
			23 keepalive`)
		n.Heal(managerAddr.Addr())
		n.Cut(second.Addr())
		// Last heard at 23; offline at 53; five startups to the second one until 74, two seconds on the first's turn.
		time.Sleep(63 * time.Second)
		wantTimeline(t, a.take(), `
			76 startup
			76 keepalive
			86 keepalive`)
		r.mustStop()
		a.close()
		b.close()
	})
}

func TestNamesAreResolvedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.Managers = []string{"mgr.example"}
		r.start()
		time.Sleep(time.Second)
		if got := r.log.Count("level=WARN", "no such host", "remedy"); got != 1 {
			t.Errorf("the missing name was logged %d times:\n%v", got, r.log)
		}
		n.SetName("mgr.example", netip.MustParseAddr("198.51.100.77")) // nobody is there
		time.Sleep(2 * time.Second)
		n.SetName("mgr.example", managerAddr.Addr())
		time.Sleep(60 * time.Second)
		got := m.take()
		if len(got) < 3 || kind(got[0].text) != "startup" || kind(got[2].text) != "keepalive" {
			t.Errorf("the manager heard %s", timeline(got))
		}
		r.mustStop()
		m.close()
	})
}

// A name with addresses of both families, where the manager listens on IPv4 alone.
func TestOtherFamilyIsTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		n.SetName("mgr.example", netip.MustParseAddr("2001:db8::1"), managerAddr.Addr())
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.Managers = []string{"mgr.example"}
		r.start()
		time.Sleep(24 * time.Second)
		if got := m.take(); len(got) != 3 {
			t.Errorf("the manager heard %s", timeline(got))
		}
		r.mustStop()
		m.close()
	})
}

func TestSocketErrorsEndNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EAFNOSUPPORT, syscall.EACCES, errors.New("odd")} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Conditions{})
			m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
			r := newRig(t, n, anyKey)
			r.cfg.TimeReconnect = time.Hour
			var broken atomic.Bool
			r.cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if broken.Load() {
					return nil, fault
				}
				c, err := n.Dial(ctx, network, address)
				return &brokenConn{c, &broken, fault}, err
			}
			broken.Store(true)
			r.start()
			time.Sleep(30 * time.Second)
			broken.Store(false)
			time.Sleep(100 * time.Second)
			broken.Store(true) // and now the socket there is
			r.feed.batches <- lines(1, 1000)
			time.Sleep(10 * time.Second)
			if r.feed.count() != 0 {
				t.Errorf("%v: %d events sent by a broken socket", fault, r.feed.count())
			}
			time.Sleep(20 * time.Second)
			broken.Store(false)
			time.Sleep(100 * time.Second)
			if r.feed.count() != 1000 || len(m.take()) < 1000 {
				t.Errorf("%v: %d of 1000 events sent", fault, r.feed.count())
			}
			if got := r.log.Count("level=WARN"); got > 5 {
				t.Errorf("%v: %d warnings:\n%v", fault, got, r.log)
			}
			r.mustStop()
			m.close()
		})
	}
}

// brokenConn fails to write while broken.
type brokenConn struct {
	net.Conn
	broken *atomic.Bool
	fault  error
}

func (c *brokenConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, c.fault
	}
	return c.Conn.Write(p)
}
