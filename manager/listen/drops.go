package listen

import (
	"context"
	"log/slog"
	"time"
)

const dropsEvery = 10 * time.Second // how often the system's counts of dropped datagrams are read

// dropCounter is a socket whose dropped datagrams the system counts.
type dropCounter interface {
	// dropped is how many datagrams found the socket's buffer full since it was opened; false where the system
	// does not tell.
	dropped() (uint64, bool)
}

// Dropped is how many datagrams the system dropped because we were too slow to take them; false where it does not tell.
func Dropped(conns []PacketConn) (all uint64, known bool) {
	for _, c := range conns {
		if t, ok := c.(dropCounter); ok {
			n, tells := t.dropped()
			all, known = all+n, known || tells
		}
	}
	return all, known
}

// LogDrops logs until ctx ends how many datagrams the system dropped because we were too slow to take them, so that no loss is
// invisible. The sockets must be open until it returns.
func LogDrops(ctx context.Context, conns []PacketConn, log *slog.Logger) {
	d := drops{log: log, conns: conns}
	tick := time.NewTicker(dropsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.look()
			return
		case <-tick.C:
			d.look()
		}
	}
}

// drops are what was told so far.
type drops struct {
	log   *slog.Logger
	conns []PacketConn
	told  uint64
}

func (d *drops) look() {
	all, _ := Dropped(d.conns)
	if all > d.told {
		d.log.Warn("the system dropped datagrams: the receive buffers were full", "count", all-d.told, "total", all,
			"remedy", "give ossecd more CPU, or raise net.core.rmem_max (as root it needs no raise)")
		d.told = all
	}
}
