package datapath

import (
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

func TestOnlyDevicesBehindIngressAreCovered(t *testing.T) {
	attrs := func(index, parent, master int) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, ParentIndex: parent, MasterIndex: master, NetNsID: -1}
	}
	foreign := attrs(14, 1, 0) // device 1 of another namespace
	foreign.NetNsID = 0
	all := []netlink.Link{
		&netlink.Veth{LinkAttrs: attrs(1, 9, 20)},
		&netlink.Veth{LinkAttrs: attrs(2, 9, 20)},
		&netlink.Veth{LinkAttrs: attrs(3, 9, 21)},
		&netlink.Veth{LinkAttrs: attrs(4, 9, 21)},
		&netlink.Vlan{LinkAttrs: attrs(10, 1, 0)},
		&netlink.Vlan{LinkAttrs: attrs(11, 10, 0)}, // a VLAN in a VLAN
		&netlink.Vlan{LinkAttrs: attrs(12, 4, 0)},
		&netlink.Macvlan{LinkAttrs: attrs(13, 1, 0)},
		&netlink.Vlan{LinkAttrs: foreign},
		&netlink.Bridge{LinkAttrs: attrs(20, 0, 0)}, // all of its ports are ours, so far
		&netlink.Bridge{LinkAttrs: attrs(21, 0, 0)}, // one of its ports is not
	}
	got := slices.Sorted(maps.Keys(seenThrough(all, map[int]bool{1: true, 2: true, 3: true})))
	if d := gocmp.Diff([]int{1, 2, 3, 10, 11}, got); d != "" {
		t.Error(d)
	}
}
