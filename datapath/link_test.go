package datapath

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice"
)

// TestNothingIsCarriedPastThePolicyAsNeighbourDiscovery sends what looks like neighbour
// discovery to the gateway itself, where it belongs, and through it, where it does not.
func TestNothingIsCarriedPastThePolicyAsNeighbourDiscovery(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	p := testPolicy()
	p.StatelessDefault = sluice.ActionDrop
	apply(t, d, top.endpoint(p))
	send := func(to string, kind byte, hops int) {
		t.Helper()
		c, err := top.dial(top.client, "ip6:ipv6-icmp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		raw, err := c.(*net.IPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var set error
		if err := raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
		}); err != nil || set != nil {
			t.Fatal(err, set)
		}
		if _, err := c.Write(append([]byte{kind, 0, 0, 0}, make([]byte, 200)...)); err != nil {
			t.Fatal(err)
		}
	}
	dropped := func() uint64 { return verdicts(t, d).DroppedStateless.Packets }
	for kind := byte(133); kind <= 137; kind++ {
		before := dropped()
		send("fd09:1::1", kind, 255) // for the gateway itself: passes
		send("fd09:2::2", kind, 255) // through it
		send("fd09:2::2", kind, 64)
		await(t, "what is to be forwarded is dropped", 3*time.Second, func() bool { return dropped() >= before+2 })
		if n := dropped() - before; n != 2 {
			t.Errorf("type %d: %d of 3 packets were dropped, not 2", kind, n)
		}
	}
}
