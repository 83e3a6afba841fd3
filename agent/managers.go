package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"ossecd/agent/obey"
	"ossecd/agent/shared"
	"ossecd/keys"
	"ossecd/proto"
)

// newSessions makes the one session that goes through the managers of the list or, with AllManagers, one session for each. They
// share the sending counter, and each has a reader of the spool of its own.
func newSessions(cfg *Config, key keys.Key, all *counts, log *slog.Logger) ([]*session, error) {
	if !cfg.AllManagers {
		s, err := newSession(cfg, key, all, log)
		return []*session{s}, err
	}
	var list []*session
	for i := range cfg.Managers {
		one, counts := *cfg, *all
		one.Managers = cfg.Managers[i : i+1]
		counts.slots = all.slots[i : i+1]
		s, err := newSession(&one, key, &counts, log.With("to", one.Managers[0]))
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// obeyWith has a session obey its managers. It is the one of index i.
//
// Each manager's shared files are kept apart, since two that push other files would take turns for ever: those of the first in
// STATE/shared or the directory of a stock layout, those of another in STATE/shared-HOST%3APORT.
func (s *session) obeyWith(all *Config, i int, o obey.Config) (err error) {
	dir := all.sharedDir()
	if i > 0 {
		dir = filepath.Join(all.State, "shared-"+all.readers()[i])
	}
	o.Dialect, o.Execd, o.Syscheck, o.Log = s.cfg.Dialect, all.inStock(stockExecd), all.stockRoots(), s.log
	o.TakesKey, o.Key, o.Keys, o.UseKey = all.mayTakeKey(), s.key, all.Keys, s.prepareKey
	if o.Shared, err = shared.Open(dir); err != nil {
		return err
	}
	s.about.takes = o.TakesKey
	s.orders = obey.New(o)
	return nil
}

// prepareKey is obey.Config.UseKey.
func (s *session) prepareKey(key keys.Key) (use func(), err error) {
	next := &nextKey{line: key.Line(), cipher: proto.NewCipher(key.CipherKey())}
	if next.slot, err = s.counts.received.Slot(key.ID, key.Secret, s.managers[0], proto.Counter{}); err != nil {
		return nil, err
	}
	return func() {
		s.key = key
		s.counts.use(next.slot)
		s.sealed.cipher = next.cipher
		if s.recv != nil {
			s.recv.next.Store(next)
		}
		if s.state == online {
			s.ask(time.Now())
		}
	}, nil
}

// cores is how many cores an agent uses at most: nearly all that is to be done for a manager is done by one goroutine, and to have a core
// woken for the little that another one does costs more than to do it here.
func (c *Config) cores() int { return min(runtime.GOMAXPROCS(0), max(len(c.readers()), 1)) }

// readers names the readers of the spool: none but the one that has no name, or with AllManagers one for each manager.
func (c *Config) readers() (names []string) {
	if !c.AllManagers {
		return nil
	}
	for _, m := range c.Managers {
		address, _ := managerAddress(m) // Validate says what is wrong with it
		names = append(names, url.QueryEscape(address))
	}
	return names
}

// runSessions returns once all of them have ended.
func runSessions(ctx context.Context, list []*session) error {
	var running sync.WaitGroup
	errs := make([]error, len(list))
	for i, s := range list {
		running.Go(func() {
			if errs[i] = s.run(ctx); errs[i] != nil && len(list) > 1 {
				errs[i] = fmt.Errorf("%s: %w", s.managers[0], errs[i])
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// localAddress is what LocalAddr says, nil where it says nothing.
func (c *Config) localAddress() (*net.UDPAddr, error) {
	if c.LocalAddr == "" {
		return nil, nil
	}
	if ip, err := netip.ParseAddr(c.LocalAddr); err == nil {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)), nil
	}
	at, err := netip.ParseAddrPort(c.LocalAddr)
	if err != nil {
		return nil, fmt.Errorf("local-addr: %q is not ADDRESS or ADDRESS:PORT; use an address of this host, as 192.0.2.7 or [2001:db8::7]:2514", c.LocalAddr)
	}
	if at.Port() != 0 && len(c.Managers) > 1 && (c.AllManagers || c.FailBack > 0) {
		return nil, fmt.Errorf("local-addr: the port %d is for one socket, and several managers take more at times; leave it out, or use mode first with fail-back 0", at.Port())
	}
	return net.UDPAddrFromAddrPort(at), nil
}

// dial makes a socket, at the local address if one is given.
func (c *Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := new(net.Dialer)
	if at, err := c.localAddress(); err == nil && at != nil { // Validate says what is wrong with it
		d.LocalAddr = at
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return quiet(conn), nil
}
