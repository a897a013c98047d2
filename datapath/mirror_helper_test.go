package datapath

import (
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"sluice"
	"sluice/internal/testnet"
)

func helperDevices(t testing.TB, ns string) (names []string) {
	t.Helper()
	err := inNamespace(ns, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, sluice.MirrorDevicePrefix) {
				names = append(names, l.Attrs().Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestHelperDevicesAreSetRightAgain(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	s := l.session(1)
	d, wire, sensor := l.mirrored(s)
	if err := testnet.SetForwarding(l.source, true); err != nil {
		t.Fatal(err)
	}
	if err := testnet.SetForwarding(l.source, false); err != nil {
		t.Fatal(err)
	}
	for _, name := range helperDevices(t, l.source) {
		if strings.HasSuffix(name, "-"+helperBridge) {
			if err := testnet.SetOffload(l.source, name, true, testnet.TXChecksum, testnet.TSO, testnet.GSO); err != nil {
				t.Fatal(err)
			}
		}
	}
	applyMirrors(t, d, l.mirrorSource(s))
	l.bulk(l.source, l.peer, peerIPv4, 1<<20)
	settle(wire, sensor)
	compare(t, wire.take(isIP), decapsulate(t, sensor.take(isIP)), 0)
	s.PacketLength = 100
	applyMirrors(t, d, l.mirrorSource(s))
	l.number(100, 103) // what of these is not copied has not got lost
	// And made anew when somebody has removed one.
	if err := testnet.RemoveLink(l.source, d.mirrors.helperName()+helperPort); err != nil {
		t.Fatal(err)
	}
	l.number(0, 5) // between the devices these come to nothing
	for range 2 {
		if c := l.counters(d, s.ID).Egress; c.Matched.Packets < 5 {
			t.Errorf("counted %+v", c)
		}
	}
	if c, want := l.counters(d, s.ID).Egress, (sluice.Counter{Packets: 5, Bytes: 5 * (14 + 20 + 8 + 100)}); c.Errors != want {
		t.Errorf("without a helper device: %+v, want errors %+v", c, want)
	}
	applyMirrors(t, d, l.mirrorSource(s))
	l.number(5, 15)
	settle(sensor)
	if numbers, _ := numbersOf(decapsulate(t, sensor.take(isIP))); !slices.Equal(numbers, append(upTo(100, 103), upTo(5, 15)...)) {
		t.Errorf("copies %v", numbers)
	}
}
