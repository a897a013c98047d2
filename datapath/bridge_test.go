package datapath

import (
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sluice"
)

// TestADeviceThatJoinsABridgeIsNoWayPastThePolicy has a bridge whose one port carries the
// firewall get a second port that carries none.
func TestADeviceThatJoinsABridgeIsNoWayPastThePolicy(t *testing.T) {
	top := newTopology(t)
	other := top.client + "-other"
	makeNamespace(t, other)
	top.wire(other, "eth0", top.gateway, "other0", 3)
	join := func(device string) error {
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, br)
	}
	top.in(top.gateway, func() error {
		a := netlink.NewLinkAttrs()
		a.Name = "br0"
		br := &netlink.Bridge{LinkAttrs: a}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		o, err := netlink.LinkByName("other0")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("10.9.3.1/24")
		if err != nil {
			return err
		}
		return errors.Join(join("client0"), netlink.LinkSetUp(br), netlink.AddrDel(o, addr), netlink.AddrAdd(br, addr))
	})
	d := testDatapath(t, 4096)
	p := testPolicy()
	p.StatelessDefault, p.FragmentDefault = sluice.ActionDrop, sluice.ActionDrop
	e := top.endpoint(p)
	apply(t, d, e)
	quiet(d)
	top.in(top.gateway, func() error { return join("other0") })
	select {
	case <-d.Changed():
	case <-time.After(3 * time.Second):
		t.Error("a device got another master, and no change was signalled")
	}
	s := top.listenPacket(top.server, "udp", "10.9.2.2:5353")
	before := verdicts(t, d).DroppedStateless.Packets
	c, err := top.dial(other, "udp", "10.9.2.2:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	await(t, "a packet of the new port is dropped", 5*time.Second, func() bool {
		if _, err := c.Write([]byte("past the policy")); err != nil {
			t.Fatal(err)
		}
		return verdicts(t, d).DroppedStateless.Packets > before
	})
	if err := s.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes got past aws:drop", n)
	}
}

// quiet waits until all changes that have happened are told.
func quiet(d *Datapath) {
	for {
		select {
		case <-d.Changed():
		case <-time.After(2 * namespacePoll):
			return
		}
	}
}

// isCovered tells whether what comes in by a device of the gateway passes for filtered.
func isCovered(t *testing.T, d *Datapath, top *topology, device string) bool {
	t.Helper()
	slot, ok := d.slotOf(testEndpoint)
	if !ok {
		t.Fatal("no such endpoint")
	}
	k := firewallCoveredKey{Endpoint: slot}
	top.in(top.gateway, func() error {
		l, err := netlink.LinkByName(device)
		if err == nil {
			k.Ifindex = uint32(l.Attrs().Index)
		}
		return err
	})
	ns, err := openNamespace(top.gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.close()
	k.Netns = ns.inode
	var one uint8
	return d.maps.Covered.Lookup(&k, &one) == nil
}
