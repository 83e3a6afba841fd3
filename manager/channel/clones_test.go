package channel

import (
	"net/netip"
	"testing"
	"time"

	"ossecd/proto"
)

// To an address that has shown nothing, the question whether one of two is there is no longer than the keepalive that came from there, and goes there
// a few times only until the next one, whatever another one sends.
func TestOneOfTwoIsAskedWithinBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, says string
		want       int
	}{
		{"a keepalive", converses("4RQ2KXJ6C3O5M7W2ZTN6LHYBEA"), pressMost},
		{"a short one", "#!-a - ossecd v\n\nossecd notify-time=1ms conversation=A", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := direct(t, anyLine)
			kept := new(keeps)
			r.conn = kept
			one, other := netip.MustParseAddrPort("192.0.2.9:1111"), netip.MustParseAddrPort("192.0.2.10:1111")
			seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 1_800_000_000}})
			// The other one's counts begin in the same row, so each of its messages is a sign.
			others := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.Blowfish, Counter: proto.Counter{Global: 1_800_000_000}, Random: 7})
			now := time.Now()
			for range 2 {
				var came int
				for range 20 {
					d := seal(tt.says)
					r.receive(d, one, netip.Addr{}, now)
					came = len(d)
				}
				kept.sent = nil
				for range 20 {
					now = now.Add(2 * time.Second)
					r.receive(others("1:l:another event"), other, netip.Addr{}, now)
				}
				if n := len(kept.sent); n != tt.want {
					t.Errorf("asked %d times, not %d", n, tt.want)
				}
				for _, d := range kept.sent {
					if len(d) > came {
						t.Errorf("a question of %d bytes; %d came", len(d), came)
					}
				}
			}
		})
	}
}
