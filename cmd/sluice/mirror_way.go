package main

import (
	"slices"

	"sluice/internal/testnet"
	"sluice/inventory"
)

// sayWay tells by which device the copies leave, and warns where a receiver gets other
// frames behind it than there are on a wire, or where copies may be copied.
func (k *mirrorChecker) sayWay(t trackedProbe) error {
	target := t.carrier.destination
	if !t.arrived {
		if len(k.receivers) != 1 {
			return nil // a group: each flow has its own way
		}
		target = k.receivers[0].addresses[0]
	}
	_, netns, device := k.source.place()
	way, err := inventory.WayTo(netns, target)
	if err != nil {
		return err
	}
	if way.Bare {
		k.say("way", stepWarning, "copies leave by the tunnel %s: where its packets leave by %s, these are copied as well, and their copies in turn, unless the filter rejects them", way.Device, device)
		return nil
	}
	// Copies over IPv6 are cut before they leave.
	if target.Is4() && slices.Contains([]string{"veth", "netkit"}, way.Kind) {
		finished, err := testnet.Offloaded(netns, way.Device, testnet.TXChecksum)
		if err != nil {
			return err
		}
		if finished {
			k.say("way", stepWarning, "copies leave by %s, a %s, which carries super-packets of TCP as one frame: a receiver behind it may get frames of up to 64 KiB; ethtool -K %s tx off cuts them, and takes its time", way.Device, way.Kind, way.Device)
			return nil
		}
	}
	k.say("way", stepOK, "copies leave by %s", way.Device)
	return nil
}
