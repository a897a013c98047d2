package inventory

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"sluice/internal/testnet"
)

func TestTheWayToAnAddressIsADevice(t *testing.T) {
	testnet.RequireRoot(t)
	prefix := testnet.UniquePrefix("way")
	near, far := prefix+"near", prefix+"far"
	end := func(netns, device, address string) testnet.End {
		return testnet.End{Netns: netns, Device: device, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	testnet.CreateForTest(t, testnet.Topology{
		Nodes: []testnet.Node{{Netns: near}, {Netns: far}},
		Links: []testnet.Link{{A: end(near, "up0", "10.9.1.1/24"), B: end(far, "eth0", "10.9.1.2/24")}},
	})
	err := testnet.Do(near, func() error {
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN})
	})
	if err == nil {
		err = testnet.SetLinkUp(near, "tun0")
	}
	if err == nil {
		err = testnet.AddAddress(near, "tun0", netip.MustParsePrefix("10.9.2.1/24"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]Way{
		"10.9.1.2": {Device: "up0", Kind: "veth"},
		"10.9.2.2": {Device: "tun0", Kind: "tuntap", Bare: true},
	} {
		got, err := WayTo(near, netip.MustParseAddr(to))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the way to %s (-want +got):\n%s", to, diff)
		}
	}
	if w, err := WayTo(near, netip.MustParseAddr("10.9.3.3")); err == nil {
		t.Errorf("without a route: %+v", w)
	}
}
