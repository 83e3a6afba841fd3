package syslog

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"ossecd/agent/source/buffer"
	"ossecd/proto/syslog"
)

// overrun is what the system dropped, which a Linux system tells.
var overrun = buffer.Note{Text: "the system dropped syslog: the receive buffer was full", Remedy: "give ossecd more CPU, or raise net.core.rmem_max"}

const dropsEvery = 10 * time.Second // how often the system's count is read

// readUDP takes datagrams, one message each, until the socket is closed.
func (r *receiver) readUDP(ctx context.Context, conn *net.UDPConn) error {
	watching, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watchDrops(watching, conn) })
	defer watch.Wait()
	defer cancel()
	buf := make([]byte, syslog.MaxMessage)
	var last netip.Addr // whose location is known
	var location string
	add := func(m []byte) error {
		r.events.Add('2', location, m)
		return nil
	}
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("syslog: %w", err)
		}
		if addr := from.Addr().Unmap().WithZone(""); addr != last {
			if !r.allowed(addr) {
				continue
			}
			last, location = addr, r.location(addr)
		}
		r.pass(location, buf[:n], add)
	}
}

// watchDrops counts what the system drops, until ctx ends.
func (r *receiver) watchDrops(ctx context.Context, conn *net.UDPConn) {
	tick := time.NewTicker(dropsEvery)
	defer tick.Stop()
	for told := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if n := dropped(conn); n > told {
			r.events.Count(overrun, n-told, "")
			told = n
		}
	}
}
