package channel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ossecd/manager/fleet"
	"ossecd/manager/listen"
	"ossecd/proto"
)

// Whatever proves nothing, or proves to be old, leaves everything that is known of an agent as it was.
func TestHostileDatagramsChangeNothing(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	home, elsewhere := netip.MustParseAddrPort("192.0.2.9:1111"), netip.MustParseAddrPort("198.51.100.66:666")
	began := time.Now()
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 7}})
	hello := seal(proto.Startup)
	alive := seal(keepalive("OSSEC HIDS v4.2.0", 0))
	r.receive(hello, home, netip.Addr{}, began)
	r.receive(alive, home, netip.Addr{}, began)
	a := r.fleet.Roster().ByID("001")
	p := a.Conversation().(*peer)
	type known struct {
		traits  fleet.Traits
		back    listen.ReturnPath
		status  fleet.Status
		highest uint64
	}
	know := func() known { return known{p.Traits(), *p.back.Load(), a.Status(), a.Slot.Highest()} }
	before := know()

	var hostile [][]byte
	next := seal(keepalive("ossecd v9", time.Second))
	aes := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.AES, Dialect: proto.Wazuh, Counter: proto.Counter{Global: 9}})(proto.Startup)
	for _, d := range [][]byte{next, aes} {
		for i := range d {
			flipped := slices.Clone(d)
			flipped[i] ^= 0x10
			hostile = append(hostile, d[:i], flipped)
		}
	}
	old := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.AES, Dialect: proto.Wazuh, Counter: proto.Counter{Global: 3}})
	bomb := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Dialect: proto.Wazuh, Counter: proto.Counter{Global: 11}})
	otherKey := sealAs(t, "001 web01 any anotherKey", proto.Envelope{ID: "001", Method: proto.AES, Counter: proto.Counter{Global: 12}})
	hostile = append(hostile, hello, alive, old(proto.Startup), old(proto.Shutdown), old(keepalive("ossecd v9", time.Second)),
		bomb(keepalive("ossecd v9", time.Second)+strings.Repeat("!", 65_000)), // ten times what this agent's dialect inflates to
		otherKey(proto.Startup),
		append([]byte("!001!:"), make([]byte, proto.MaxDatagram-len("!001!:")-5)...),
		append([]byte("!001!#AES:"), make([]byte, 65_488)...),
		make([]byte, proto.MaxDatagram), make([]byte, proto.MaxDatagram+1))
	for _, d := range hostile {
		r.receive(d, elsewhere, elsewhere.Addr(), began.Add(time.Hour))
		if now := know(); now != before {
			t.Fatalf("%d bytes, %.20q, changed\n%+v to\n%+v", len(d), d, before, now)
		}
	}
	r.receive(next, elsewhere, netip.Addr{}, began.Add(time.Hour)) // used up by none of them
	if now := know(); now.back.To != elsewhere || !now.traits.IsOssecd || now.highest != before.highest+1 {
		t.Errorf("the true one was not taken: %+v", now)
	}
}
