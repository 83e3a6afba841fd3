package channel

import (
	"net/netip"
	"testing"
	"time"

	"ossecd/proto"
)

// What did not come is known by the gaps in the counts, but for those that a startup makes.
func TestMissing(t *testing.T) {
	t.Parallel()
	const startup = -1 // the message before was one
	for name, c := range map[string]struct {
		counts []int64
		want   uint64
	}{
		"none":                  {nil, 0},
		"one":                   {[]int64{10_005}, 0},
		"in a row":              {[]int64{10_005, 10_006, 10_007}, 0},
		"a gap":                 {[]int64{10_005, 10_009}, 3},
		"a gap, filled late":    {[]int64{10_005, 10_009, 10_007}, 2},
		"late at the beginning": {[]int64{10_005, 10_003}, 1},
		"over the end":          {[]int64{19_996, 19_997, 20_001, 20_002}, 0},
		"a gap over the end":    {[]int64{19_995, 20_002}, 3},
		"startup":               {[]int64{10_005, 50_000_001, startup, 50_000_002}, 0},
		"near startup":          {[]int64{10_005, 10_007, 10_100, startup, 10_102}, 2},
		"late of before":        {[]int64{10_005, 10_007, 10_100, startup, 10_006}, 0},
		"first is startup":      {[]int64{10_005, startup, 10_006}, 0},
		"set forward":           {[]int64{10_005, 10_007, 90_000_000_001, 90_000_000_003}, 2},
	} {
		var a account
		for _, v := range c.counts {
			if v == startup {
				a.startsAnew()
			} else {
				a.took(uint64(v))
			}
		}
		if got := a.missing + a.row.missing(); got != c.want {
			t.Errorf("%s: %d missing, want %d", name, got, c.want)
		}
	}
}

// An account tells what is proven from what is claimed, and names the sender of the latter.
func TestAccountOfRefusals(t *testing.T) {
	t.Parallel()
	r := direct(t, anyLine)
	now, from := time.Now(), netip.MustParseAddrPort("198.51.100.9:40000")
	const otherLine = "001 web01 any 005d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	seal := sealAs(t, anyLine, proto.Envelope{ID: "001", Method: proto.AES, Counter: proto.Counter{Global: 5}})
	forge := sealAs(t, otherLine, proto.Envelope{ID: "001", Method: proto.AES, Counter: proto.Counter{Global: 9}})
	first := seal("1:a:b")
	for _, d := range [][]byte{first, first, seal("no event"), seal("1:a:c"), forge("1:a:d"), forge("1:a:e")} {
		r.receive(d, from, netip.Addr{}, now)
	}
	got := r.fleet.Roster().ByID("001").Conversation().Account()
	if got.Events != 2 || got.Missing != 0 || got.Program != "" {
		t.Errorf("%+v", got)
	}
	want := map[string]uint64{"repeated count": 1, "malformed event": 1, "wrong key": 2}
	for _, one := range got.Refused {
		if one.Count != want[one.Reason] || one.Remedy == "" || one.Claimed != (one.Reason == "wrong key") || one.Claimed && one.Source != from {
			t.Errorf("%+v", one)
		}
		delete(want, one.Reason)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

// Claims about any number of agents are bounded.
func TestClaimsAreBounded(t *testing.T) {
	t.Parallel()
	var c claims
	id := make([]byte, 3)
	for i := range maxClaims + 10 {
		id[0], id[1], id[2] = byte(i), byte(i>>8), byte(i>>16)
		c.note(wrongKey, id, netip.AddrPort{})
	}
	if len(c.by) != maxClaims {
		t.Errorf("%d are kept", len(c.by))
	}
	if got := c.of("\x00\x00\x00"); len(got) != 1 || got[0].Count != 1 {
		t.Errorf("%+v", got)
	}
}
