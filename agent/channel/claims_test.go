package channel

import (
	"encoding/binary"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"ossecd/keys"
	"ossecd/proto"
)

// Of the receivers of several managers that get one datagram at the same time, one takes it.
func TestOneTakesADatagram(t *testing.T) {
	received, err := keys.OpenReceived(filepath.Join(t.TempDir(), "received"))
	if err != nil {
		t.Fatal(err)
	}
	defer received.Close()
	managers := []string{"192.0.2.1:1514", "192.0.2.2:1514"}
	var slots []*keys.Slot
	for _, m := range managers {
		slot, err := received.Slot("001", "secret", m, proto.Counter{})
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, slot)
	}
	c := newClaims(managers, true)
	const rounds = 100_000
	var takers [rounds][2]bool
	var ready atomic.Int64
	var both sync.WaitGroup
	for j, m := range managers {
		both.Go(func() {
			var datagram []byte
			for i := range rounds {
				datagram = binary.BigEndian.AppendUint64(datagram[:0], uint64(i))
				for ready.Add(1); ready.Load() < int64(2*(i+1)); { // both begin at once
					runtime.Gosched()
				}
				verdict, another := c.accept(slots[j], uint64(1+i), datagram, nil, m)
				takers[i][j] = !another && verdict.Passes()
			}
		})
	}
	both.Wait()
	for i, by := range takers {
		if by[0] == by[1] {
			t.Fatalf("datagram %d: taken by the first: %t, by the second: %t", i, by[0], by[1])
		}
	}
}
