package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
)

// newLab makes a lab and declares all its devices.
func newLab(t *testing.T) (testnet.LabNetwork, []Declared) {
	t.Helper()
	lab := testnet.Lab(testnet.UniquePrefix("inventory"))
	testnet.CreateForTest(t, lab.Topology)
	return lab, declare(lab)
}

func declare(lab testnet.LabNetwork) []Declared {
	var out []Declared
	for _, l := range lab.Links {
		out = append(out, Declared{Netns: l.A.Netns, Device: l.A.Device}, Declared{Netns: l.B.Netns, Device: l.B.Device})
	}
	return out
}

func newInventory(t *testing.T, declared []Declared) *Inventory {
	return New(Options{
		HostID: "host", Hostname: "machine", Region: "eu-west-1", Declared: declared,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
}

// run loads an inventory and keeps it running for the test.
func run(t *testing.T, v *Inventory) {
	t.Helper()
	if err := v.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// await waits until the inventory fulfils a condition.
func await(t *testing.T, v *Inventory, what string, ok func(sluice.Inventory) bool) sluice.Inventory {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		changed := v.Changed()
		s := v.Snapshot()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: still\n%+v", what, s)
		}
	}
}

func device1(s sluice.Inventory, netns, device string) sluice.Interface {
	i := slices.IndexFunc(s.Interfaces, func(n sluice.Interface) bool { return n.Netns == netns && n.Device == device })
	if i < 0 {
		return sluice.Interface{}
	}
	return s.Interfaces[i]
}

func TestLabIsPresentedAsTheDesignSays(t *testing.T) {
	lab, declared := newLab(t)
	v := newInventory(t, declared)
	if err := v.Load(); err != nil {
		t.Fatal(err)
	}
	s := v.Snapshot()
	prefix := strings.TrimSuffix(lab.Client, "client")
	subnet := map[string]sluice.Subnet{}
	for _, n := range s.Subnets {
		subnet[n.ID] = n
	}
	var got []string
	for _, n := range s.Interfaces {
		got = append(got, fmt.Sprintf("%s/%s mtu=%d up=%t firewall=%t %v subnet=%s %v",
			strings.TrimPrefix(n.Netns, prefix), n.Device, n.MTU, n.Up, n.Firewall, n.Addresses,
			subnet[n.SubnetID].Name, subnet[n.SubnetID].CIDRs))
	}
	want := []string{
		"client/eth0 mtu=1500 up=true firewall=false [10.77.1.2/24 fd77:1::2/64] subnet=client [10.77.1.0/24 fd77:1::/64]",
		"gateway/client0 mtu=1500 up=true firewall=true [10.77.1.1/24 fd77:1::1/64] subnet=client [10.77.1.0/24 fd77:1::/64]",
		"gateway/sensor0 mtu=9000 up=true firewall=true [10.77.3.1/24 fd77:3::1/64] subnet=sensor [10.77.3.0/24 fd77:3::/64]",
		"gateway/server0 mtu=1500 up=true firewall=true [10.77.2.1/24 fd77:2::1/64] subnet=server [10.77.2.0/24 fd77:2::/64]",
		"sensor/eth0 mtu=9000 up=true firewall=false [10.77.3.2/24 fd77:3::2/64] subnet=sensor [10.77.3.0/24 fd77:3::/64]",
		"server/eth0 mtu=1500 up=true firewall=false [10.77.2.2/24 fd77:2::2/64] subnet=server [10.77.2.0/24 fd77:2::/64]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	if len(s.Instances) != 4 || len(s.Subnets) != 3 || len(s.Vpcs) != 1 || !slices.Equal(s.Zones, []string{"eu-west-1a"}) {
		t.Errorf("got %d instances, %d subnets, %d VPCs, zones %v", len(s.Instances), len(s.Subnets), len(s.Vpcs), s.Zones)
	}
	for _, i := range s.Instances {
		want := 1
		if i.Netns == lab.Gateway {
			want = 3
		}
		if i.Name != i.Netns || len(i.InterfaceIDs) != want {
			t.Errorf("instance %+v", i)
		}
	}
	if got := len(s.Vpcs[0].CIDRs); got != 6 {
		t.Errorf("the VPC has %d networks, want 6", got)
	}
}

func TestIdsSurviveARestartAndARebuild(t *testing.T) {
	lab, declared := newLab(t)
	load := func() sluice.Inventory {
		v := newInventory(t, declared)
		if err := v.Load(); err != nil {
			t.Fatal(err)
		}
		return v.Snapshot()
	}
	before := load()
	if err := lab.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Create(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, load(), cmpopts.EquateComparable(netip.Prefix{}), cmpopts.IgnoreFields(sluice.Interface{}, "Index")); diff != "" {
		t.Errorf("after (-before +after):\n%s", diff)
	}
}

func TestMissingDevicesAreNamedWithWhatThereIs(t *testing.T) {
	lab, declared := newLab(t)
	declared = append(declared,
		Declared{Netns: lab.Gateway, Device: "r9"},
		Declared{Netns: lab.Gateway + "-no", Device: "eth0"},
		Declared{Device: "nosuch0"})
	err := newInventory(t, declared).Load()
	for _, want := range []string{
		"interfaces[6]: device r9 does not exist in network namespace " + lab.Gateway + "; it has: client0, sensor0, server0",
		"interfaces[7]: network namespace " + lab.Gateway + "-no does not exist; there are: ",
		lab.Client,
		"interfaces[8]: device nosuch0 does not exist in the host's network namespace; it has: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestADeclaredDeviceStaysWhenItDisappears(t *testing.T) {
	lab, declared := newLab(t)
	v := newInventory(t, declared)
	run(t, v)
	was := device1(v.Snapshot(), lab.Gateway, "client0")
	if err := testnet.RemoveLink(lab.Gateway, "client0"); err != nil {
		t.Fatal(err)
	}
	gone := await(t, v, "removed", func(s sluice.Inventory) bool { return !device1(s, lab.Gateway, "client0").Up })
	want := was
	want.Up, want.Index = false, 0
	if diff := cmp.Diff(want, device1(gone, lab.Gateway, "client0"), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
	if err := testnet.AddLink(lab.Links[0]); err != nil {
		t.Fatal(err)
	}
	back := await(t, v, "back", func(s sluice.Inventory) bool {
		n := device1(s, lab.Gateway, "client0")
		return n.Up && len(n.Addresses) == 2
	})
	if n := device1(back, lab.Gateway, "client0"); n.ID != was.ID || n.Index == 0 {
		t.Errorf("came back as %+v, was %+v", n, was)
	}
}

func TestANamespaceMayGoAndComeBack(t *testing.T) {
	lab, declared := newLab(t)
	v := newInventory(t, declared)
	run(t, v)
	if err := lab.Remove(); err != nil {
		t.Fatal(err)
	}
	await(t, v, "gone", func(s sluice.Inventory) bool {
		return len(s.Interfaces) == 6 && !slices.ContainsFunc(s.Interfaces, func(n sluice.Interface) bool { return n.Up })
	})
	if n := device1(v.Snapshot(), lab.Gateway, "client0"); !n.Firewall {
		t.Error("without its namespace the device no longer carries firewalls")
	}
	if err := lab.Create(); err != nil {
		t.Fatal(err)
	}
	await(t, v, "back", func(s sluice.Inventory) bool {
		return !slices.ContainsFunc(s.Interfaces, func(n sluice.Interface) bool { return !n.Up })
	})
}

func TestChangesInTheKernelArrive(t *testing.T) {
	lab, declared := newLab(t)
	v := newInventory(t, declared)
	run(t, v)
	if err := testnet.SetForwarding(lab.Client, true); err != nil {
		t.Fatal(err)
	}
	await(t, v, "forwarding", func(s sluice.Inventory) bool { return device1(s, lab.Client, "eth0").Firewall })
	if err := testnet.AddAddress(lab.Client, "eth0", netip.MustParsePrefix("10.77.1.99/24")); err != nil {
		t.Fatal(err)
	}
	await(t, v, "address", func(s sluice.Inventory) bool { return len(device1(s, lab.Client, "eth0").Addresses) == 3 })
	if err := testnet.SetMTU(lab.Client, "eth0", 1400); err != nil {
		t.Fatal(err)
	}
	await(t, v, "MTU", func(s sluice.Inventory) bool { return device1(s, lab.Client, "eth0").MTU == 1400 })
	subnet := device1(v.Snapshot(), lab.Client, "eth0").SubnetID
	if err := testnet.SetLinkDown(lab.Client, "eth0"); err != nil {
		t.Fatal(err)
	}
	s := await(t, v, "down", func(s sluice.Inventory) bool { return !device1(s, lab.Client, "eth0").Up })
	if got := device1(s, lab.Client, "eth0").SubnetID; got != subnet {
		t.Errorf("a device that is down moved to %s", got)
	}
}

func TestABurstOfChangesEndsInTheRightState(t *testing.T) {
	lab, declared := newLab(t)
	v := newInventory(t, declared)
	run(t, v)
	// Far more messages than a socket's buffer holds.
	for i := range 2000 {
		if err := testnet.SetMTU(lab.Client, "eth0", 1300+i%2); err != nil {
			t.Fatal(err)
		}
	}
	if err := testnet.SetMTU(lab.Client, "eth0", 1299); err != nil {
		t.Fatal(err)
	}
	await(t, v, "last MTU", func(s sluice.Inventory) bool { return device1(s, lab.Client, "eth0").MTU == 1299 })
}

// Devices over another one, such as a VLAN, share its hardware address; a veth that
// is given the same does as well and needs no module.
func TestDevicesWithOneHardwareAddressHaveIdsOfTheirOwn(t *testing.T) {
	lab, declared := newLab(t)
	before := newInventory(t, declared)
	if err := before.Load(); err != nil {
		t.Fatal(err)
	}
	if err := testnet.Do(lab.Gateway, func() error {
		parent, err := netlink.LinkByName("client0")
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = "a5", parent.Attrs().HardwareAddr
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "a6"})
	}); err != nil {
		t.Fatal(err)
	}
	after := newInventory(t, append(declared, Declared{Netns: lab.Gateway, Device: "a5"}))
	if err := after.Load(); err != nil {
		t.Fatal(err)
	}
	parent, upper := device1(after.Snapshot(), lab.Gateway, "client0"), device1(after.Snapshot(), lab.Gateway, "a5")
	if parent.MAC != upper.MAC || parent.ID == upper.ID {
		t.Errorf("got %s and %s", parent.ID, upper.ID)
	}
	if was := device1(before.Snapshot(), lab.Gateway, "client0").ID; parent.ID != was {
		t.Errorf("the parent was %s and is %s", was, parent.ID)
	}
}

// TestWithoutDeclarationsTheHostIsIn runs discovery inside a namespace, as if that
// were the host's.
func TestWithoutDeclarationsTheHostIsIn(t *testing.T) {
	lab, _ := newLab(t)
	if err := testnet.Do(lab.Gateway, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "bare0" // a device without an address, such as the host's side of a container
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "bare1"})
	}); err != nil {
		t.Fatal(err)
	}
	var s sluice.Inventory
	if err := testnet.Do(lab.Gateway, func() error {
		v := newInventory(t, nil)
		err := v.Load()
		s = v.Snapshot()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range s.Interfaces {
		got = append(got, n.Device)
	}
	if diff := cmp.Diff([]string{"client0", "sensor0", "server0"}, got); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if len(s.Instances) != 1 || s.Instances[0].Name != "machine" {
		t.Errorf("instances %+v", s.Instances)
	}
}

func TestANameWithoutANamespaceIsNoNamespace(t *testing.T) {
	testnet.RequireRoot(t)
	name := testnet.UniquePrefix("inventory") + "left"
	t.Cleanup(func() {
		if err := testnet.RemoveNamespace(name); err != nil {
			t.Error(err)
		}
	})
	if err := testnet.CreateNamespace(name); err != nil {
		t.Fatal(err)
	}
	if s, err := readNamespace(name); err != nil || !s.exists {
		t.Errorf("a namespace: %+v, %v", s, err)
	}
	// What ip-netns leaves when it is interrupted: the file, and no mount over it.
	if err := unix.Unmount(testnet.NamespacePath(name), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if s, err := readNamespace(name); err != nil || s.exists {
		t.Errorf("a file: %+v, %v", s, err)
	}
	err := newInventory(t, []Declared{{Netns: name, Device: "eth0"}}).Load()
	if err == nil || !strings.Contains(err.Error(), "network namespace "+name+" does not exist") {
		t.Errorf("got %v", err)
	}
}
