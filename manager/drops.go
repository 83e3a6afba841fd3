package manager

import (
	"log/slog"
	"time"
)

const dropsEvery = 10 * time.Second // how often the system's counts of dropped datagrams are read

// dropTeller is a socket whose dropped datagrams the system counts.
type dropTeller interface {
	// dropped is how many datagrams found the socket's buffer full since it was opened; false where the system
	// does not tell.
	dropped() (uint64, bool)
}

// drops reads how many datagrams the system dropped because we were too slow to take them, and logs new ones, so
// that no loss is invisible. For one goroutine.
type drops struct {
	log   *slog.Logger
	conns []PacketConn
	told  uint64
}

func (d *drops) look() {
	var all uint64
	for _, c := range d.conns {
		if t, ok := c.(dropTeller); ok {
			n, _ := t.dropped()
			all += n
		}
	}
	if all > d.told {
		d.log.Warn("the system dropped datagrams: the receive buffers were full", "count", all-d.told, "total", all,
			"remedy", "give ossecd more CPU, or raise net.core.rmem_max (as root it needs no raise)")
		d.told = all
	}
}
