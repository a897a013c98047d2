package datapath

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sluice"
	"sluice/internal/testnet"
)

// dear is a price that takes the time of a copy a thousand times: however slow the machine,
// what follows as fast as it can is far too much.
const dear = 1000 << priceShift

// limited opens a datapath whose copies cost this, and mirrors the lab's source to a session.
func (l *mirrorLab) limited(prices copyPrices, s sluice.MirrorSession) *Datapath {
	l.t.Helper()
	d := testDatapath(l.t, MaxFlowsMin)
	l.t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			l.t.Error(err)
		}
	})
	d.mirrors.prices = prices
	applyMirrors(l.t, d, l.mirrorSource(s))
	return d
}

// minus is what has been counted between two looks.
func minus(after, before sluice.MirrorCounters) sluice.MirrorCounters {
	of := func(a, b sluice.Counter) sluice.Counter {
		return sluice.Counter{Packets: a.Packets - b.Packets, Bytes: a.Bytes - b.Bytes}
	}
	return sluice.MirrorCounters{
		Matched: of(after.Matched, before.Matched), Mirrored: of(after.Mirrored, before.Mirrored),
		Sliced: of(after.Sliced, before.Sliced), Truncated: of(after.Truncated, before.Truncated),
		Capped: of(after.Capped, before.Capped), NoRoute: of(after.NoRoute, before.NoRoute), Errors: of(after.Errors, before.Errors),
	}
}

// sent sends datagrams from the source, all of which have to arrive, and returns what the
// session counts of them.
func (l *mirrorLab) sent(d *Datapath, id string, count, size int) sluice.MirrorCounters {
	l.t.Helper()
	before := l.counters(d, id).Egress
	if err := l.numbered(l.source, l.peer, peerIPv4, count, size); err != nil {
		l.t.Error(err)
	}
	risen := minus(l.counters(d, id).Egress, before)
	if risen.Matched.Packets != uint64(count) || risen.Mirrored.Packets+risen.Capped.Packets != uint64(count) {
		l.t.Errorf("of %d packets counted %+v", count, risen)
	}
	return risen
}

func TestCopiesBeyondTheirTimeAreDroppedAndNoOriginal(t *testing.T) {
	const count, full = 30_000, 1472
	for name, test := range map[string]struct {
		uplink      int
		prices      copyPrices
		length      uint32
		size        int
		capped, cut bool
	}{
		"truncated":               {uplink: 1500, prices: copyPrices{truncated: dear}, size: full, capped: true, cut: true},
		"truncated, all bounded":  {uplink: 1500, prices: copyPrices{copies: dear}, size: full, capped: true, cut: true},
		"whole, all bounded":      {uplink: 9000, prices: copyPrices{copies: dear}, size: full, capped: true},
		"truncated, no bound":     {uplink: 1500, size: full, cut: true},
		"whole":                   {uplink: 9000, prices: copyPrices{truncated: dear}, size: full},
		"sliced":                  {uplink: 1500, prices: copyPrices{truncated: dear}, size: full, length: 128},
		"small enough":            {uplink: 1500, prices: copyPrices{truncated: dear}, size: 1000},
		"sliced, and yet too big": {uplink: 1500, prices: copyPrices{truncated: dear}, size: full, length: 1490, capped: true, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMirrorLab(t, 1500, test.uplink)
			s := l.session(1)
			s.PacketLength = test.length
			c := l.sent(l.limited(test.prices, s), s.ID, count, test.size)
			if (c.Capped.Packets > 0) != test.capped || (c.Truncated.Packets > 0) != test.cut || c.Mirrored.Packets == 0 {
				t.Errorf("counted %+v", c)
			}
			if test.capped && c.Capped.Bytes != c.Capped.Packets*uint64(test.size+42) {
				t.Errorf("%d packets capped with %d bytes", c.Capped.Packets, c.Capped.Bytes)
			}
		})
	}
}

// What fits the path is not held up by what doesn't, and once all fits nothing is.
func TestTheBoundOfTruncatedCopiesEndsWithThem(t *testing.T) {
	const full = 1472
	l := newMirrorLab(t, 1500, 1500)
	s := l.session(1)
	d := l.limited(copyPrices{truncated: dear}, s)
	if c := l.sent(d, s.ID, 30_000, full); c.Capped.Packets == 0 {
		t.Fatalf("counted %+v", c)
	}
	if c := l.sent(d, s.ID, 10_000, 1000); c.Capped.Packets != 0 || c.Truncated.Packets != 0 {
		t.Errorf("that fit the path: counted %+v", c)
	}
	for _, end := range []struct{ netns, device string }{{l.source, "up0"}, {l.sensor, "eth0"}} {
		if err := testnet.SetMTU(end.netns, end.device, 9000); err != nil {
			t.Fatal(err)
		}
	}
	// A processor finds out by its next copy, for which it has to have paid.
	var c sluice.MirrorCounters
	for range 1000 {
		if c = l.sent(d, s.ID, 1000, full); c.Capped.Packets == 0 {
			break
		}
	}
	if c.Capped.Packets != 0 || c.Truncated.Packets != 0 {
		t.Errorf("with a wide path: counted %+v", c)
	}
}

// Of a super-packet it is the frames that have to fit, and those of another flow that do
// fit don't make them free.
func TestTheBoundHoldsForSuperPackets(t *testing.T) {
	l := newMirrorLab(t, 1500, 1500)
	s := l.session(1)
	d := l.limited(copyPrices{truncated: dear}, s)
	l.bulk(l.source, l.peer, peerIPv4, 64<<20)
	alone := l.counters(d, s.ID).Egress
	if alone.Capped.Packets < alone.Matched.Packets/2 || alone.Truncated.Packets == 0 {
		t.Errorf("alone: counted %+v", alone)
	}
	// The frames of connections to this address have room to spare.
	small := netip.MustParseAddr("10.9.1.3")
	to := &net.IPNet{IP: small.AsSlice(), Mask: net.CIDRMask(32, 32)}
	for netns, do := range map[string]func(netlink.Link) error{
		l.peer: func(eth0 netlink.Link) error { return netlink.AddrAdd(eth0, &netlink.Addr{IPNet: to}) },
		l.source: func(eth0 netlink.Link) error {
			return netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: to, MTU: 1300})
		},
	} {
		if err := inNamespace(netns, func() error {
			eth0, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return do(eth0)
		}); err != nil {
			t.Fatal(err)
		}
	}
	end := make(chan error, 1)
	go func() { end <- l.transfer(l.source, l.peer, peerIPv4, 64<<20) }()
	for range 16 {
		l.bulk(l.source, l.peer, small, 4<<20)
	}
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	both := minus(l.counters(d, s.ID).Egress, alone)
	if both.Capped.Packets < alone.Capped.Packets/2 || both.Mirrored.Packets < both.Truncated.Packets+40_000 {
		t.Errorf("beside others: counted %+v, alone %+v", both, alone)
	}
}

// Each target of a group has a way of its own.
func TestTheBoundIsForTheTargetsThatAreNarrow(t *testing.T) {
	l := newMirrorLab(t, 1500, 1560) // room for a full frame over IPv4, not over IPv6
	s := l.session(1)
	s.Targets = []netip.Addr{sensorIPv4, sensorIPv6}
	d := l.limited(copyPrices{truncated: dear}, s)
	var narrow, wide bool
	for range 64 { // flows, each of which goes to either
		c := l.sent(d, s.ID, 5000, 1472)
		switch {
		case c.Capped.Packets > 0 && c.Mirrored.Packets > 0 && c.Truncated.Packets == 0:
			t.Fatalf("of a flow with room enough some packets are capped: counted %+v", c)
		case c.Capped.Packets > 0:
			narrow = true
		default:
			wide = true
		}
		if narrow && wide {
			return
		}
	}
	t.Errorf("flows to the narrow target %t, to the other %t", narrow, wide)
}

// What is saved up in a tenth of a second is a millisecond: a thousand copies or so.
func TestAShortBurstIsCopiedWhole(t *testing.T) {
	l := newMirrorLab(t, 1500, 1500)
	s := l.session(1)
	d := l.limited(copyPrices{truncated: 100 << priceShift}, s)
	l.sent(d, s.ID, 10, 1472) // from now on it is known that they are truncated
	for range 3 {
		time.Sleep(150 * time.Millisecond) // in which a processor saves up
		if c := l.sent(d, s.ID, 200, 1472); c.Capped.Packets == 0 {
			return
		} else {
			t.Logf("counted %+v", c)
		}
	}
	t.Error("of each burst some packets are capped")
}

func TestPercentagesOfAProcessorAreChecked(t *testing.T) {
	for _, p := range []int{-1, 101} {
		if _, err := newCopyPrices(p, 100); err == nil {
			t.Errorf("copies may take %d %%", p)
		}
		if _, err := newCopyPrices(100, p); err == nil {
			t.Errorf("truncated copies may take %d %%", p)
		}
	}
	for percent, want := range map[int]uint32{0: 0, 100: 0, 99: 258, 50: 512, 5: 5120, 1: 25600} {
		if got, err := newCopyPrices(percent, 100); err != nil || got != (copyPrices{copies: want}) {
			t.Errorf("%d %%: %+v, %v", percent, got, err)
		}
	}
}
